"""From a script to its executed notebook."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import nbformat
import psutil
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from nnlab_helpers.files import check_writable, replacing
from nnlab_helpers.pairs.scratch import MARK, TEMPORARY, home_is_usable, scratch_folder
from nnlab_helpers.pairs.step import (
    COURSE,
    LANGUAGE,
    as_script,
    differences,
    lessons_folder,
    notebook_of,
    parse,
    read_script,
    script_of,
    scripts,
)

Side = Literal["script", "notebook"]


class BuildError(RuntimeError):
    """A lesson that could not be built; nothing was written."""


def kernel_environment(progress: Path | str) -> dict[str, str]:
    """The environment for a lesson's kernel: no progress bars, `progress` in place of the learner's record, a folder
    beside it in place of their finished sweeps and of those shipped, the plotting backend left to the kernel, and for
    a home, where there is none that can be written, the folder of `progress`."""
    environment = {k: v for k, v in os.environ.items() if k != "MPLBACKEND"}
    if os.name == "posix" and not home_is_usable():
        environment["HOME"] = str(Path(progress).parent)
    sweeps = str(sweeps_beside(progress))
    return environment | {"TQDM_DISABLE": "1", MARK: str(progress), "NNLAB_CACHE": sweeps}


def reference_environment(progress: Path | str) -> dict[str, str]:
    """`kernel_environment` for what is stored and compared: on the CPU, unless `$NNLAB_DEVICE` names another device."""
    return {"NNLAB_DEVICE": "cpu"} | kernel_environment(progress)


def sweeps_beside(progress: Path | str) -> Path:
    """The folder for the sweeps of a kernel that has `progress` for its record."""
    return Path(f"{progress}.sweeps")


def build(script: Path, *, take: Side | None = None, timeout: float = 300) -> Path:
    """Execute a script in a fresh kernel and store it, with its outputs, as the notebook one folder up.

    The finished runs of a lesson's sweeps are stored too, to be shipped with the package. The script is put into the
    form that a save in JupyterLab gives it. A cell that did not change keeps its id.

    Args:
        script: `.../py/<stem>.py`.
        take: which side counts when the notebook was edited apart from its script.
        timeout: seconds a cell may take.

    Raises: BuildError if a cell fails, if the notebook was edited or is damaged and `take` does not say which side
        counts, or if it cannot be written; ValueError if the script is not UTF-8 or a cell has metadata that nothing
        reads. Neither file is touched then.
    """
    script = Path(script).resolve()
    target = notebook_of(script)
    before = script.read_bytes()
    stored = _stored(target, take)
    notebook = parse(read_script(script), script)
    try:
        check_writable(target)  # now rather than after minutes
    except OSError as error:
        raise BuildError(f"{target} cannot be written ({error.strerror or error})") from None
    if stored is not None and _edited(stored, target, notebook):
        if take is None:
            raise BuildError(_conflict(script, target))
        if take == "notebook":
            notebook = parse(as_script(stored, target), script)
    text = as_script(notebook, script)
    _keep_ids(notebook, stored)
    with scratch_folder() as folder:
        progress = folder / "progress.json"
        seen: set[psutil.Process] = set()  # a child without the kernel's environment is only known by its parent
        client: NotebookClient = NotebookClient(
            notebook,
            km=AsyncKernelManager(kernel_name="python3", connection_file=str(folder / "kernel.json")),
            timeout=timeout,
            resources={"metadata": {"path": str(target.parent)}},
            record_timing=False,
            extra_arguments=["--log-level=40"],  # errors; ipykernel warns of every unencrypted socket
            on_cell_executed=lambda **_: seen.update(_children(client.km)),
        )
        try:
            environment = reference_environment(progress) | dict.fromkeys(TEMPORARY, str(folder))
            client.execute(cleanup_kc=True, env=environment)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            raise BuildError(_failure(script, notebook, error)) from None
        finally:
            for process in seen:  # each is known by its id and its start
                with suppress(psutil.Error):
                    process.kill()
        if script.read_bytes() != before:
            raise BuildError(f"{script.name} was edited while it was executed; nothing was written, build it again")
        if target.parent == COURSE:
            from nnlab_helpers.sweep.shipped import pack_lesson  # here, as it takes PyTorch

            pack_lesson(target.stem.partition("_")[0], sweeps_beside(progress))
    notebook.metadata["language_info"] = dict(LANGUAGE)  # the kernel's own carries the version of Python
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = _join_streams(cell.outputs)
    notebook.metadata["nnlab"] = {"script": _digest(text)}
    write_atomically(target, nbformat.writes(notebook) + "\n")
    if text != read_script(script):  # line endings are not ours to change
        write_atomically(script, text)
    return target


def _children(manager: Any) -> list[psutil.Process]:
    """What a kernel has started, as far as it can be seen."""
    with suppress(psutil.Error, AttributeError):  # it has just ended
        return psutil.Process(manager.provisioner.pid).children(recursive=True)
    return []


def write_atomically(path: Path, text: str) -> None:
    """Replace the file `path` by one with `text`: whoever reads sees the old content or the new, never a part."""
    with replacing(path) as file:
        file.write(text)


def _stored(target: Path, take: Side | None) -> NotebookNode | None:
    """The notebook as it lies there, if it does; a damaged one counts as none where the script's side is taken."""
    if not target.is_file():
        return None
    try:
        return nbformat.read(target, as_version=4)
    except Exception as error:  # nbformat raises many kinds
        if take == "script":
            return None
        remedy = f"nnlab build {target.stem} --take script  writes it anew from its script"
        raise BuildError(f"{target.name} is not a readable notebook ({str(error)[:80]}).\n  {remedy}") from None


def _edited(stored: NotebookNode, target: Path, fresh: NotebookNode) -> bool:
    """Whether the stored notebook says neither what its script says now nor what it said when it was built."""
    text = as_script(stored, target)
    if text == as_script(fresh, target):
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
    error_outputs = [out for out in notebook.cells[number].outputs if out.output_type == "error"]
    text = "\n".join(error_outputs[0].traceback) if error_outputs else f"{type(error).__name__}: {error}"
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).strip().splitlines()
    what = "\n".join(f"    {line}" for line in lines[-10:])
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
            try:
                changed = differences(notebook_of(script))
            except Exception as error:  # whatever a damaged notebook makes nbformat raise
                changed = [f"not a readable notebook ({str(error)[:80]})"]
            print(f"{'✗' if changed else '✓'} {label}", *changed[:20], sep="\n    ")
            failed += bool(changed)
            continue
        start = perf_counter()
        try:
            built = build(script, take=take)
        except (BuildError, ValueError, OSError) as error:
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
