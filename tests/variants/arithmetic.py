"""Ways to compute the same lesson differently: other instructions, other numbers of threads, nudged weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

DIGEST = Path(__file__).with_name("digest.py")
NUDGES = 5

def _without(*levels: str) -> str:
    """What to keep NumPy from using: those of its optional instructions that begin so and that this processor has."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    return ",".join(name for name in __cpu_dispatch__ if name.startswith(levels) and __cpu_features__.get(name))


NO_AVX512 = _without("AVX512", "X86_V4")
NO_AVX = _without("AVX", "FMA", "X86_V3", "X86_V4")


@dataclass(frozen=True)
class Variant:
    """A way to compute: environment variables for the kernels, and what to nudge the initial weights with."""

    name: str
    environment: dict[str, str] = field(default_factory=dict)
    nudge: int | None = None
    needs: str = ""  # the capability without which PyTorch cannot compute so, as it names it

    @property
    def threads(self) -> int:
        return int(self.environment["OMP_NUM_THREADS"])


def _variant(name: str, aten: str, onednn: str, *, threads: int = 1, **more: str) -> Variant:
    """`aten`: elementwise kernels. `onednn`: convolutions and some matrix products. `more`: MKL, OpenBLAS, NumPy."""
    chosen = {"ATEN_CPU_CAPABILITY": aten, "ONEDNN_MAX_CPU_ISA": onednn, "OMP_NUM_THREADS": str(threads), **more}
    return Variant(name, chosen, needs={"avx512": "AVX512", "avx2": "AVX2"}.get(aten, ""))


LEAST = _variant(
    "least", "default", "SSE41",
    MKL_CBWR="COMPATIBLE", OPENBLAS_CORETYPE="Prescott", NPY_DISABLE_CPU_FEATURES=NO_AVX,
)  # fmt: skip
AVX2 = _variant(
    "avx2", "avx2", "AVX2",
    MKL_CBWR="AVX2", OPENBLAS_CORETYPE="Haswell", NPY_DISABLE_CPU_FEATURES=NO_AVX512,
)  # fmt: skip
MOST = _variant("most", "avx512", "AVX512_CORE")
VARIANTS = [
    MOST,
    LEAST,
    AVX2,
    _variant("mixed", "avx512", "SSE41", MKL_CBWR="COMPATIBLE", OPENBLAS_CORETYPE="Haswell"),
    _variant("threads", "default", "AVX512_CORE", threads=2),
    _variant("avx2-threads", "avx2", "SSE41", threads=2, OPENBLAS_CORETYPE="Prescott"),
    *(Variant(f"nudge{seed}", {"OMP_NUM_THREADS": "1"}, nudge=seed) for seed in range(1, NUDGES + 1)),
]
HELD_BACK = ("avx2-threads", "nudge5")  # not looked at while experiments and tolerances were chosen


def named(name: str) -> Variant:
    """The variant called `name`. Raises: KeyError."""
    return {variant.name: variant for variant in VARIANTS}[name]


def digests(variant: Variant) -> dict[str, str]:
    """What small computations give under `variant`, bit for bit, by name. Raises: CalledProcessError."""
    command = [sys.executable, str(DIGEST), *([str(variant.nudge)] if variant.nudge is not None else [])]
    environment = os.environ | variant.environment
    ran = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return dict(json.loads(ran.stdout))


def distinct(variants: list[Variant]) -> dict[str, dict[str, str]]:
    """The digests of those `variants`, by name, that this machine can compute and that no earlier one equals."""
    import torch

    found: dict[str, dict[str, str]] = {}
    capability = torch.backends.cpu.get_cpu_capability()
    for variant in variants:
        if variant.needs == "AVX512" != capability or (variant.needs == "AVX2" and capability == "DEFAULT"):
            print(f"{variant.name}: left out, this processor has no {variant.needs}")
            continue
        digest = digests(variant)
        if same := [name for name, other in found.items() if other == digest]:
            print(f"{variant.name}: left out, here it computes as {same[0]} does")
        else:
            found[variant.name] = digest
    return found


if __name__ == "__main__":  # `env $(python tests/variants/arithmetic.py least) COMMAND` runs COMMAND in that arithmetic
    print(*(f"{key}={value}" for key, value in named(sys.argv[1]).environment.items()))
