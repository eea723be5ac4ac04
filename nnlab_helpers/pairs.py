"""Lessons and their pairs: the notebook learners open and the script maintainers edit.

`notebooks/py/dayNN_topic.py` (jupytext, py:percent) and `notebooks/dayNN_topic.ipynb` say the same thing; the notebook
also holds the outputs. `build` goes from the script to the notebook; saving in JupyterLab writes both.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterable
from difflib import unified_diff
from pathlib import Path
from time import perf_counter
from typing import Literal, get_args

import jupytext
import nbformat
from jupytext.config import load_jupytext_config
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

Side = Literal["script", "notebook"]

CELL_METADATA = ("tags", "tolerance", "why")  # what a cell's percent header may carry
LANGUAGE = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python", "pygments_lexer": "ipython3"}


class BuildError(RuntimeError):
    """A lesson that could not be built; nothing was written."""


# Where things are --------------------------------------------------------------------------------------------------


def lessons_folder() -> Path:
    """The folder `notebooks` of the checkout this package runs from, or else of the current directory."""
    places = [Path(__file__).resolve().parents[1] / "notebooks", Path.cwd() / "notebooks"]
    for place in places:
        if (place / "py").is_dir():
            return place
    raise FileNotFoundError(f"no lessons in {places[0]} or {places[1]}: run this from a checkout of NN Lab")


def notebook_of(script: Path) -> Path:
    """The notebook that belongs to `.../py/<stem>.py`: one folder up."""
    return script.parent.parent / f"{script.stem}.ipynb"


def script_of(notebook: Path) -> Path:
    """The script that belongs to a notebook: `py/<stem>.py` beside it."""
    return notebook.parent / "py" / f"{notebook.stem}.py"


def scripts(names: Iterable[str] = (), folder: Path | None = None) -> list[Path]:
    """The scripts of the lessons and solutions named, or of all of them.

    A name is a day (`3`, `day3`, `day03`: the lesson and its solutions), a stem (`day03_activations`), or the path of
    a script or notebook (that one alone).

    Raises: LookupError for a name that fits nothing.
    """
    folder = folder or lessons_folder()
    everything = sorted((folder / "py").glob("*.py")) + sorted((folder / "solutions" / "py").glob("*.py"))
    names = list(names)
    found: list[Path] = []
    for name in names:
        path = Path(name)
        if path.suffix in {".py", ".ipynb"}:
            path = path.resolve()
            fits = [path if path.suffix == ".py" else script_of(path)]
            fits = [fit for fit in fits if fit.is_file()]
        elif day := re.fullmatch(r"(?:day)?(\d+)", name):
            fits = [path for path in everything if path.stem.startswith(f"day{int(day[1]):02d}_")]
        else:
            fits = [path for path in everything if path.stem == name]
        if not fits:
            days = ", ".join(dict.fromkeys(path.stem for path in everything)) or "none yet"
            raise LookupError(f"no lesson called {name!r}; there are: {days}")
        found += [fit for fit in fits if fit not in found]
    return found if names else everything


# From one to the other ---------------------------------------------------------------------------------------------


def regenerate(notebook: Path) -> str:
    """The text of the script that `notebook` stands for, byte for byte as a save in JupyterLab writes it."""
    return _as_script(nbformat.read(notebook, as_version=4), notebook)


def differences(notebook: Path) -> list[str]:
    """How a notebook and its script differ, as lines of a diff; empty when they are in step."""
    script = script_of(notebook)
    for path in (script, notebook):
        if not path.is_file():
            return [f"{path.name} is missing"]
    old, new = script.read_bytes().decode(), regenerate(notebook)
    if old != new:
        names = f"py/{script.name}", notebook.name
        return list(unified_diff(old.splitlines(), new.splitlines(), *names, lineterm="", n=1)) or ["line endings"]
    stored = nbformat.read(notebook, as_version=4).cells
    fresh = _parse(old, script).cells
    if len(stored) != len(fresh):
        return [f"{notebook.name} has {len(stored)} cells, its script {len(fresh)}"]
    return [
        f"cell {number} differs in {what}"
        for number, (left, right) in enumerate(zip(stored, fresh, strict=True))
        for what, of in (("kind", _kind), ("source", _source), ("metadata", _metadata))
        if of(left) != of(right)
    ]


def in_step(notebook: Path) -> bool:
    """Whether a notebook and its script say the same: text byte for byte, and each cell's source and metadata."""
    return not differences(notebook)


def _kind(cell: NotebookNode) -> str:
    return str(cell.cell_type)


def _source(cell: NotebookNode) -> str:
    return str(cell.source)


def _metadata(cell: NotebookNode) -> dict[str, object]:
    return {key: cell.metadata[key] for key in CELL_METADATA if cell.metadata.get(key)}


def _as_script(notebook: NotebookNode, path: Path) -> str:
    return str(jupytext.writes(notebook, fmt="py:percent", config=load_jupytext_config(str(path))))


def _parse(text: str, script: Path) -> NotebookNode:
    """The notebook that the text of a script stands for, without outputs.

    Raises: ValueError for cell metadata that nothing reads, a misspelt `tolerance` for example.
    """
    notebook = jupytext.reads(text, fmt="py:percent", config=load_jupytext_config(str(script)))
    for number, cell in enumerate(notebook.cells):
        cell.metadata.pop("lines_to_next_cell", None)  # blank lines between cells are not the author's to keep
        if unknown := set(cell.metadata) - set(CELL_METADATA):
            raise ValueError(
                f"{script.name}, cell {number}: nothing reads the metadata {', '.join(sorted(unknown))}; "
                f"a cell's header takes {', '.join(CELL_METADATA)}"
            )
    notebook.metadata["language_info"] = dict(LANGUAGE)
    notebook.metadata["jupytext"].pop("text_representation", None)
    return notebook



# Building ----------------------------------------------------------------------------------------------------------


def kernel_environment(progress: Path | str) -> dict[str, str]:
    """The environment for a lesson's kernel: no progress bars, `progress` in place of the learner's own record, and
    the plotting backend left to the kernel."""
    environment = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
    return environment | {"TQDM_DISABLE": "1", "NNLAB_PROGRESS": str(progress)}


def build(script: Path, *, take: Side | None = None, timeout: float = 300) -> Path:
    """Execute a script in a fresh kernel and store it, with its outputs, as the notebook one folder up.

    The script is put into the form that a save in JupyterLab gives it. A cell that did not change keeps its id.

    Args:
        script: `.../py/<stem>.py`.
        take: which side counts when the notebook was edited apart from its script.
        timeout: seconds a cell may take.

    Raises: BuildError if a cell fails, or if the notebook was edited and `take` does not say which side counts;
        neither file is touched then.
    """
    script = Path(script).resolve()
    target = notebook_of(script)
    before = script.read_bytes()
    stored = nbformat.read(target, as_version=4) if target.is_file() else None
    notebook = _parse(before.decode(), script)
    if stored is not None and _edited(stored, target, notebook):
        if take is None:
            raise BuildError(_conflict(script, target))
        if take == "notebook":
            notebook = _parse(_as_script(stored, target), script)
    text = _as_script(notebook, script)
    _keep_ids(notebook, stored)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=timeout,
            kernel_name="python3",
            resources={"metadata": {"path": str(target.parent)}},
            record_timing=False,
            extra_arguments=["--log-level=40"],  # errors; ipykernel warns of every unencrypted socket
        )
        try:
            client.execute(env=kernel_environment(Path(folder) / "progress.json"))
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            raise BuildError(_failure(script, notebook, error)) from None
    notebook.metadata["language_info"] = dict(LANGUAGE)  # the kernel's own carries the version of Python
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = _join_streams(cell.outputs)
    notebook.metadata["nnlab"] = {"script": _digest(text)}
    if script.read_bytes() != before:
        raise BuildError(f"{script.name} was edited while it was being executed; nothing was written, build it again")
    write_atomically(target, nbformat.writes(notebook) + "\n")
    if text.encode() != before:
        write_atomically(script, text)
    return target


def write_atomically(path: Path, text: str) -> None:
    """Replace the file `path` by one with `text`: whoever reads sees the old content or the new, never a part."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(temporary, path.stat().st_mode if path.exists() else 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _edited(stored: NotebookNode, target: Path, fresh: NotebookNode) -> bool:
    """Whether the stored notebook says neither what its script says now nor what it said when it was built."""
    text = _as_script(stored, target)
    if text == _as_script(fresh, target):
        return False
    return bool(stored.metadata.get("nnlab", {}).get("script") != _digest(text))


def _conflict(script: Path, target: Path) -> str:
    changed = "\n".join(f"    {line}" for line in differences(target)[:12])
    return (
        f"{target.name} was edited apart from py/{script.name}, and building would lose the edit:\n{changed}\n"
        f"  to keep the notebook's text:  nnlab build {script.stem} --take notebook\n"
        f"  to keep the script's text:    nnlab build {script.stem} --take script"
    )


def _failure(script: Path, notebook: NotebookNode, error: Exception) -> str:
    """Which cell of which lesson failed, with its source and its error, shortened."""
    ran = [n for n, cell in enumerate(notebook.cells) if cell.get("execution_count") or cell.get("outputs")]
    failed = [n for n in ran if any(out.output_type == "error" for out in notebook.cells[n].outputs)]
    number = failed[-1] if failed else max(ran, default=0)
    source = "\n".join(f"    {line}" for line in notebook.cells[number].source.splitlines())
    if isinstance(error, CellExecutionError):
        lines = re.sub(r"\x1b\[[0-9;]*m", "", error.traceback).splitlines()
        what = "\n".join(f"    {line}" for line in lines[-12:])
    else:
        what = f"    {type(error).__name__}: {error}"
    return f"{script.stem}, cell {number} failed; the stored notebook is left as it was.\n{source}\n  gave\n{what}"


def _join_streams(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Make one output of each run of stream outputs: how they are cut up is a matter of timing."""
    joined: list[NotebookNode] = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            joined.append(output)
    return joined


def _keep_ids(notebook: NotebookNode, stored: NotebookNode | None) -> None:
    """Give every cell the id of the stored cell with the same content, or else one made from its content."""
    kept: dict[tuple[str, str], list[str]] = {}
    for cell in stored.cells if stored else []:
        kept.setdefault((cell.cell_type, cell.source), []).append(cell.get("id", ""))
    used: set[str] = set()
    for cell in notebook.cells:
        ids = kept.get((cell.cell_type, cell.source))
        cell["id"] = ids.pop(0) if ids else ""
        if cell["id"] in used:
            cell["id"] = ""
        used.add(cell["id"])
    for cell in notebook.cells:
        digest = _digest(f"{cell.cell_type}\n{cell.source}")[:8]
        repeat = 1
        while not cell["id"]:
            proposal = digest if repeat == 1 else f"{digest}-{repeat}"
            if proposal not in used:
                cell["id"] = proposal
                used.add(proposal)
            repeat += 1


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# The command -------------------------------------------------------------------------------------------------------


def build_all(
    names: Iterable[str] = (),
    *,
    check: bool = False,
    take: Side | None = None,
    folder: Path | None = None,
) -> int:
    """Build the lessons and solutions `names` (see `scripts`), or all; report each, and return how many failed.

    With `check` nothing is executed or written: report the pairs that are not in step, and notebooks without a script.
    """
    folder = folder or lessons_folder()
    names = list(names)
    wanted = scripts(names, folder)
    failed = 0
    if check and not names:
        notebooks = [*folder.glob("*.ipynb"), *(folder / "solutions").glob("*.ipynb")]
        wanted += [script_of(path) for path in sorted(notebooks) if not script_of(path).is_file()]
    for script in wanted:
        label = f"{'solutions/' if script.parent.parent.name == 'solutions' else ''}{script.stem}"
        if check:
            changed = differences(notebook_of(script))
            print(f"{'✗' if changed else '✓'} {label}", *changed[:20], sep="\n    ")
            failed += bool(changed)
            continue
        start = perf_counter()
        try:
            built = build(script, take=take)
        except (BuildError, ValueError) as error:
            print(f"✗ {error}")
            failed += 1
        else:
            print(f"✓ {label}   {perf_counter() - start:.1f} s", *_remarks(built), sep="\n    ")
    if failed and check:
        print(f"{failed} not in step: `nnlab build` makes the notebook from the script")
    return failed


def _remarks(notebook: Path) -> list[str]:
    """What the regression will refuse in a built notebook."""
    return [
        f"cell {number} wrote to stderr, which the tests refuse: {output.text.strip().splitlines()[-1][:100]}"
        for number, cell in enumerate(nbformat.read(notebook, as_version=4).cells)
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stderr" and output.text.strip()
    ]


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "build"]
    side = next((side for side in get_args(Side) if f"--take={side}" in arguments), None)
    sys.exit(bool(build_all([a for a in arguments if a[:2] != "--"], check="--check" in arguments, take=side)))
