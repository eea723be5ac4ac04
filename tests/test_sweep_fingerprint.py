"""The version of the code that ran: it changes with what makes the result, and with nothing else."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading

import pytest

from nnlab_helpers.sweep import code_version, fingerprint


def version_of(source, name="run", **scope):
    """The version of `name` as if `source` had been run in a notebook."""
    scope = {"__name__": "__main__", **scope}
    exec(compile(textwrap.dedent(source), "<cell>", "exec"), scope)
    return code_version(scope[name])


BASE = """
    import math
    import torch
    RATE = 0.1
    LAYERS = {"hidden": [16, 32], "kinds": {"relu", "tanh"}}
    WEIGHTS = torch.arange(4.0)

    class Net(torch.nn.Linear):
        scale = 2
        def forward(self, x):
            return super().forward(x) * self.scale

    def step(x, power=2):
        return x ** power

    def run(config, seed):
        inner = lambda x: x + RATE
        return {"loss": math.sqrt(inner(step(config["x"]))) + len(LAYERS) + WEIGHTS.sum() + Net(1, 1).scale}
"""


def test_the_same_code_has_the_same_version_also_in_another_process():
    here = version_of(BASE)
    assert here == version_of(BASE)
    script = f"""
import sys
sys.path.insert(0, {str(__file__.rpartition("/")[0])!r})
from test_sweep_fingerprint import BASE, version_of
print(version_of(BASE))
"""
    for seed in ("1", "2"):  # of the hashes of strings, so of the order within sets
        found = subprocess.run(
            [sys.executable, "-c", script],
            env={**__import__("os").environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.strip() == here


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("RATE = 0.1", "RATE = 0.2"),
        ("[16, 32]", "[16, 64]"),
        ('"tanh"', '"gelu"'),
        ("arange(4.0)", "arange(5.0)"),
        ("scale = 2", "scale = 3"),
        ("* self.scale", "+ self.scale"),
        ("power=2", "power=3"),
        ("x ** power", "x * power"),
        ("x + RATE", "x - RATE"),
        ("torch.nn.Linear", "torch.nn.Bilinear"),
        ("math.sqrt(", "math.exp("),
        ('config["x"]', 'config["y"]'),
    ],
)
def test_a_change_in_anything_that_is_used_is_a_change(old, new):
    assert old in BASE
    assert version_of(BASE.replace(old, new)) != version_of(BASE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("RATE = 0.1", "RATE = 0.1  # small"),
        ("import math", "import math\n\n\n    import os\n    UNUSED = 3"),
        ("def step", "# powers\n    def step"),
    ],
)
def test_comments_lines_and_unused_names_do_not_count(old, new):
    assert version_of(BASE.replace(old, new)) == version_of(BASE)


def test_closures_partials_and_methods_count():
    def make(factor):
        def run(config, seed):
            return {"loss": factor}

        return run

    class Study:
        def __init__(self, factor):
            self.factor = factor

        def run(self, config, seed):
            return {"loss": self.factor}

    import functools

    assert code_version(make(1)) != code_version(make(2))
    assert code_version(make(1)) == code_version(make(1))
    assert code_version(functools.partial(make(1), seed=1)) != code_version(functools.partial(make(1), seed=2))
    assert code_version(functools.partial(make(1), seed=1)) != code_version(functools.partial(make(2), seed=1))
    assert code_version(Study(1).run) != code_version(Study(2).run)


def test_functions_that_call_each_other_come_to_an_end():
    both = """
        def even(n): return n == 0 or odd(n - 1)
        def odd(n): return n != 0 and even(n - 1)
        def run(config, seed): return {"even": even(config["n"])}
    """
    assert version_of(both) != version_of(both.replace("n != 0", "n > 0"))


def test_the_package_counts_as_one_piece(monkeypatch):
    source = """
        from nnlab_helpers.train import fit
        def run(config, seed): return fit(config, seed)
    """
    before = version_of(source)
    without = version_of("def run(config, seed): return {}")
    monkeypatch.setattr(fingerprint, "package_digest", lambda: "changed")
    assert version_of(source) != before
    assert version_of("def run(config, seed): return {}") == without


def test_the_package_digest_sees_what_makes_results_and_not_the_rest(tmp_path, monkeypatch):
    (tmp_path / "train").mkdir()
    (tmp_path / "exercises").mkdir()
    for name in ("__init__.py", "models.py", "train/loop.py", "exercises/day01.py"):
        (tmp_path / name).write_text("a = 1\n")
    monkeypatch.setattr(fingerprint.nnlab_helpers, "__file__", str(tmp_path / "__init__.py"))
    digest = fingerprint.package_digest.__wrapped__
    before = digest()
    (tmp_path / "exercises" / "day01.py").write_text("a = 2\n")
    assert digest() == before
    (tmp_path / "train" / "loop.py").write_text('"""What it is for."""\n\na = 1  # why\n')
    assert digest() == before, "only said otherwise"
    (tmp_path / "train" / "loop.py").write_text("a = 2\n")
    assert digest() != before


def test_a_repair_of_python_is_no_change(monkeypatch):
    source = "def run(config, seed): return {}"
    before = version_of(source)
    number = fingerprint.platform.python_version_tuple()
    monkeypatch.setattr(fingerprint.platform, "python_version_tuple", lambda: (*number[:2], "99"))
    assert version_of(source) == before
    monkeypatch.setattr(fingerprint.platform, "python_version_tuple", lambda: (number[0], "99", number[2]))
    assert version_of(source) != before


def test_a_library_counts_by_its_version(monkeypatch):
    source = """
        import numpy as np
        def run(config, seed): return {"loss": np.sqrt(seed)}
    """
    before = version_of(source)
    real = fingerprint.library_version
    monkeypatch.setattr(fingerprint, "library_version", lambda name: "99" if name == "numpy" else real(name))
    assert version_of(source) != before


def test_what_cannot_be_compared_is_named():
    with pytest.raises(TypeError, match="LOCK, a lock") as error:
        version_of("def run(config, seed): return LOCK", LOCK=threading.Lock())
    assert "inside the function" in str(error.value)
