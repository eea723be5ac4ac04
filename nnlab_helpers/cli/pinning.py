"""The pinned versions: read `constraints.txt`, and derive it and `environment.yml` from what is installed.

`pyproject.toml` names what the project needs. `constraints.txt` holds a version for each of these and for everything
they need in turn; `environment.yml` repeats the versions of the named ones for conda.
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CONSTRAINTS_HEAD = """\
# The version of everything the project is tested with. Derived by `make pins` from what pyproject.toml names and what
# is installed in .venv: do not edit. Names and versions only, so it serves any index and Python 3.11 to 3.13.
#
# Left out: CUDA's libraries and triton, whose versions torch itself fixes (and which only some systems need), and what
# is needed on Windows or macOS alone.
"""
ENVIRONMENT_HEAD = """\
# The same versions for conda: `conda env create -f environment.yml`, then `conda activate nnlab`.
# Derived by `make pins` from pyproject.toml and constraints.txt: do not edit.
name: nnlab
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python>=3.11,<3.14
  - pip
  - pip:
      - -c constraints.txt
      - -e .
"""
_FIXED_BY_TORCH = re.compile(r"(nvidia|cuda)-.+|triton.*")


def read_pins(path: Path) -> dict[str, str]:
    """Return name -> version from a constraints file, names in their canonical form (`jupyter-client`).

    Raises:
        ValueError: A line is neither a comment nor `name==version`.
    """
    pins: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!+_-]+)", line)
        if match is None:
            raise ValueError(f"{path}, line {number}: expected name==version, got {line!r}")
        pins[canonicalize_name(match[1])] = match[2]
    return pins


def named_requirements(pyproject: Path, *, extras: bool = True) -> list[str]:
    """Canonical names of what `pyproject.toml` asks for, in its order; with `extras`, those of all extras too."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    lines = list(project["dependencies"])
    if extras:
        for group in project.get("optional-dependencies", {}).values():
            lines += group
    return list(dict.fromkeys(canonicalize_name(Requirement(line).name) for line in lines))


def installed_pins(names: list[str]) -> dict[str, str]:
    """Name -> installed version of `names` and of all they need on this system, sorted.

    Raises:
        PackageNotFoundError: Something needed is not installed.
    """
    pins: dict[str, str] = {}
    todo = [Requirement(name) for name in names]
    seen: set[tuple[str, str]] = set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in seen or _FIXED_BY_TORCH.fullmatch(name):
                continue
            seen.add((name, extra))
            found = distribution(name)
            pins[name] = found.version.split("+")[0]  # a CPU build of torch is 2.x.y+cpu
            for line in found.requires or []:
                further = Requirement(line)
                if further.marker is None or further.marker.evaluate({"extra": extra}):
                    todo.append(further)
    return dict(sorted(pins.items()))


def environment_text(names: list[str], pins: dict[str, str]) -> str:
    """The text of `environment.yml`."""
    return ENVIRONMENT_HEAD + "".join(f"      - {name}=={pins[name]}\n" for name in sorted(names))


def constraints_text(pins: dict[str, str]) -> str:
    """The text of `constraints.txt`."""
    return CONSTRAINTS_HEAD + "".join(f"{name}=={version}\n" for name, version in pins.items())


def write_pins(root: Path) -> list[Path]:
    """Write both files anew from what is installed here.

    Raises:
        PackageNotFoundError: Something `pyproject.toml` needs is not installed.
    """
    names = named_requirements(root / "pyproject.toml")
    pins = installed_pins(names)
    texts = {root / "constraints.txt": constraints_text(pins), root / "environment.yml": environment_text(names, pins)}
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return list(texts)


def version_of(name: str) -> str | None:
    """The installed version without its local part (`+cpu`); None if it is not installed."""
    try:
        return distribution(name).version.split("+")[0]
    except PackageNotFoundError:
        return None
