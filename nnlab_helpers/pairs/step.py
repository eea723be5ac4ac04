"""Where a pair's two files are, and whether they say the same."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable
from difflib import unified_diff
from pathlib import Path

import jupytext
import nbformat
from jupytext.config import load_jupytext_config
from nbformat import NotebookNode

COURSE = Path(__file__).resolve().parents[2] / "notebooks"  # where a checkout has its lessons
CELL_METADATA = ("tags", "tolerance", "why")  # what a cell's percent header may carry
LANGUAGE = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python", "pygments_lexer": "ipython3"}


def lessons_folder() -> Path:
    """The folder `notebooks` of the checkout this package runs from, or else of the current directory."""
    places = [COURSE, Path.cwd() / "notebooks"]
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


def regenerate(notebook: Path) -> str:
    """The text of the script that `notebook` stands for, byte for byte as a save in JupyterLab writes it."""
    return as_script(nbformat.read(notebook, as_version=4), notebook)


def read_script(script: Path) -> str:
    """The text of a script, with plain newlines whatever those of the file are (on Windows git may put others).

    Raises: ValueError if it is not UTF-8, or begins with a byte order mark, which would become part of its first line.
    """
    content = script.read_bytes()
    marks = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    if content.startswith(marks):
        raise ValueError(f"{script.name} begins with a byte order mark: save it as UTF-8 without one (no BOM)")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line, byte = content.count(b"\n", 0, error.start) + 1, content[error.start]
        raise ValueError(
            f"{script.name}, line {line}: not UTF-8 (the byte 0x{byte:02x}; perhaps Latin-1): save the file as UTF-8"
        ) from None
    return _plain_newlines(text)


def _plain_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def differences(notebook: Path) -> list[str]:
    """How a notebook and its script differ, as lines of a diff; empty when they are in step.

    Kinds of line endings are no difference. A script that cannot be read (see `read_script`) is one.
    """
    script = script_of(notebook)
    for path in (script, notebook):
        if not path.is_file():
            return [f"{path.name} is missing"]
    try:
        old = read_script(script)
    except ValueError as error:
        return [str(error)]
    new = regenerate(notebook)
    if old != new:
        names = f"py/{script.name}", notebook.name
        diff = unified_diff(old.splitlines(), new.splitlines(), *names, lineterm="", n=1)
        return list(diff) or ["a blank line at the end"]
    stored = nbformat.read(notebook, as_version=4).cells
    fresh = parse(old, script).cells
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
    return _plain_newlines(cell.source).rstrip("\n")


def _metadata(cell: NotebookNode) -> dict[str, object]:
    return {key: cell.metadata[key] for key in CELL_METADATA if cell.metadata.get(key)}


def as_script(notebook: NotebookNode, path: Path) -> str:
    """The text of the script for `notebook`, in the form that the `jupytext.toml` nearest to `path` asks for.

    Its newlines are plain, whatever those of the cells are.
    """
    return _plain_newlines(jupytext.writes(notebook, fmt="py:percent", config=load_jupytext_config(str(path))))


def parse(text: str, script: Path) -> NotebookNode:
    """The notebook that the text of a script stands for, without outputs.

    Raises: ValueError for cell metadata that nothing reads, a misspelt `tolerance` for example.
    """
    notebook = jupytext.reads(text, fmt="py:percent", config=load_jupytext_config(str(script)))
    for number, cell in enumerate(notebook.cells):
        cell.metadata.pop("lines_to_next_cell", None)  # blank lines between cells are not the author's to keep
        cell.source = cell.source.rstrip("\n")
        cell.metadata = nbformat.from_dict(json.loads(json.dumps(cell.metadata, sort_keys=True)))  # as stored
        if unknown := set(cell.metadata) - set(CELL_METADATA):
            raise ValueError(
                f"{script.name}, cell {number}: nothing reads the metadata {', '.join(sorted(unknown))}; "
                f"a cell's header takes {', '.join(CELL_METADATA)}"
            )
    notebook.metadata["language_info"] = dict(LANGUAGE)
    notebook.metadata["jupytext"].pop("text_representation", None)
    return notebook
