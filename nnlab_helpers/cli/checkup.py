"""`nnlab doctor`: look at everything the lessons need, and say for each problem what to do."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nnlab_helpers.cli.lessons import LessonError, find_lessons, find_root
from nnlab_helpers.cli.pinning import named_requirements, read_pins, version_of

_SETUP = "make run, or: pip install -c constraints.txt -e ."

_TESTED = (3, 13)


@dataclass(frozen=True)
class Finding:
    """One thing looked at. A problem has a remedy; a note is neither right nor wrong."""

    state: str  # "ok", "note" or "problem"
    what: str
    detail: str
    remedy: str = ""


def examine() -> Iterator[Finding]:
    """Look at one thing after the other. A look that fails itself is a problem too."""
    try:
        root: Path | None = find_root()
    except LessonError:
        root = None
    checks: list[tuple[str, Callable[[Path | None], Iterator[Finding]]]] = [
        ("Python", _python), ("Packages", _packages), ("Device", _device), ("Data", _data),
        ("Home", _home), ("Kernel", _kernel), ("Lessons", _lessons),
    ]  # fmt: skip
    for what, look in checks:
        try:
            yield from look(root)
        except Exception as error:
            yield Finding("problem", what, f"{type(error).__name__}: {error}", f"install anew ({_SETUP})")


def _python(root: Path | None) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("ok", "Python", f"{version} at {sys.executable}")
    if sys.version_info[:2] > _TESTED:
        yield Finding("note", "Python", "newer than {}.{}, the last that the pins were tried with".format(*_TESTED))
    if sys.prefix == sys.base_prefix and "CONDA_PREFIX" not in os.environ:
        yield Finding("note", "Python", "not in a virtual environment (make run makes one in .venv)")


def _packages(root: Path | None) -> Iterator[Finding]:
    if root is None or not (root / "constraints.txt").is_file():
        yield Finding("note", "Packages", "no constraints.txt here, so versions are not compared")
        return
    pins = read_pins(root / "constraints.txt")
    installed = {name: version for name in pins if (version := version_of(name)) is not None}
    needed = named_requirements(root / "pyproject.toml", extras=False)
    missing = [name for name in needed if version_of(name) is None]
    unpinned = [name for name in needed if name not in pins]
    for name in unpinned:
        yield Finding("problem", "Packages", f"constraints.txt has no version for {name}",
                      "git checkout -- constraints.txt")  # fmt: skip
    for name in missing:
        yield Finding("problem", "Packages", f"{name} is missing", f"pip install -c constraints.txt {name}")
    wrong = {name: version for name, version in installed.items() if version != pins[name]}
    for name, version in wrong.items():
        yield Finding("problem", "Packages", f"{name} is {version}, tested is {pins[name]}",
                      f"pip install {name}=={pins[name]}, or accept that numbers may differ")  # fmt: skip
    if not wrong and not missing and not unpinned:
        yield Finding("ok", "Packages", f"{len(installed)} at their pinned versions (torch {installed['torch']})")


def _device(root: Path | None) -> Iterator[Finding]:
    from nnlab_helpers.device import describe_device

    try:
        yield Finding("ok", "Device", describe_device())
    except (RuntimeError, ValueError) as error:
        yield Finding("problem", "Device", str(error), "unset NNLAB_DEVICE, or set it to a device this machine has")


def _data(root: Path | None) -> Iterator[Finding]:
    from nnlab_helpers.data import load_images

    for split in ("train", "test"):
        try:
            images = load_images("mnist", split)
            yield Finding("ok", "Data", f"{len(images):,} MNIST digits ({split}), checksums right")
        except (OSError, ValueError) as error:
            remedy = "unset NNLAB_DATA, or " if os.environ.get("NNLAB_DATA", "").strip() else ""
            yield Finding("problem", "Data", str(error), f"{remedy}git checkout -- nnlab_helpers/assets")


def _home(root: Path | None) -> Iterator[Finding]:
    from nnlab_helpers.pairs import home_is_usable

    if not home_is_usable():
        where = os.path.expanduser("~")
        there = "there is no home folder" if where == "~" else f"the home folder {where} cannot be written"
        yield Finding("problem", "Home", f"{there}; JupyterLab keeps its settings there",
                      "HOME=/some/folder nnlab lab, a folder that you can write (nnlab run needs none)")  # fmt: skip


def _kernel(root: Path | None) -> Iterator[Finding]:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    remedy = f'"{sys.executable}" -m ipykernel install --sys-prefix'
    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        yield Finding("problem", "Kernel", "JupyterLab knows no kernel python3", remedy)
        return
    except RuntimeError as error:  # no home folder: see there
        yield Finding("note", "Kernel", f"not looked for ({error})")
        return
    python = spec.argv[0]
    same = python in {"python", "python3"} or Path(python).absolute() == Path(sys.executable).absolute()
    if same:
        yield Finding("ok", "Kernel", "python3 starts this Python")
    else:
        yield Finding("problem", "Kernel", f"python3 starts another Python: {python}", remedy)


def _lessons(root: Path | None) -> Iterator[Finding]:
    if root is None:
        yield Finding("note", "Lessons", "none around here: run this in the project's folder to look at them too")
        return
    from nnlab_helpers.pairs import differences, notebook_of, script_of, scripts

    notebooks = {lesson.path for solutions in (False, True) for lesson in find_lessons(root, solutions=solutions)}
    pairs = sorted(notebooks | {notebook_of(script) for script in scripts(folder=root / "notebooks")})
    if not pairs:
        yield Finding("problem", "Lessons", f"there are none in {root / 'notebooks'}", "git checkout -- notebooks")
        return
    apart = 0
    for path in pairs:
        here, script = path.relative_to(root), script_of(path)
        build = f"nnlab build {here} --take script"
        if not path.is_file():
            problem, remedy = f"{here} is missing", f"git checkout -- {here}, or {build}"
        elif not script.is_file():
            problem = f"{here}: its script {script.relative_to(root)} is missing"
            remedy = f"git checkout -- {script.relative_to(root)}, or save the notebook once more in JupyterLab"
        else:
            try:
                lines = differences(path)
            except Exception as error:  # whatever a damaged notebook makes nbformat raise
                problem, remedy = f"{here} is not a readable notebook ({error})", f"git checkout -- {here}, or {build}"
            else:
                if not lines:
                    continue
                problem = f"{here} and its script differ: {_first(lines)}"
                remedy = (
                    "your own work: save it once more in JupyterLab, and both are the same again; "
                    f"to take the script's side: {build}"
                )
        apart += 1
        yield Finding("problem", "Lessons", problem, remedy)
    if not apart:
        yield Finding("ok", "Lessons", f"{len(pairs)} notebooks, each in step with its script")


def _first(lines: list[str]) -> str:
    """The first changed line of a diff, or the first line of anything else."""
    changed = [line for line in lines if line[:1] in {"+", "-"} and line[:3] not in {"+++", "---"}]
    return (changed or lines)[0]
