"""`nnlab run`: all lessons, one after the other or several at once, with a live display and a closing table."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table

from nnlab_helpers.cli.execute import Run, execute
from nnlab_helpers.cli.lessons import Lesson
from nnlab_helpers.pairs import write_atomically

_MB = 1_000_000


@dataclass(frozen=True)
class Limits:
    """What a lesson is meant to take at most, kernel start included: `seconds`, or if None what it promises itself."""

    seconds: float | None = None
    megabytes: float = 1500.0
    slack: float = 1.0  # times the promise, where a machine is slow

    def exceeded(self, run: Run) -> list[str]:
        """Say what `run` took too much of."""
        over = []
        seconds = self.slack * run.lesson.promised_seconds if self.seconds is None else self.seconds
        if run.seconds > seconds:
            over.append(f"over {seconds:g} s")
        if run.peak_bytes > self.megabytes * _MB:
            over.append(f"over {self.megabytes:g} MB")
        return over


class Interrupted(Exception):
    """The run was stopped by a signal; every kernel is gone."""

    def __init__(self, number: int, runs: list[Run]) -> None:
        """Keep the signal's `number` and the `runs` as far as they came."""
        super().__init__(signal.Signals(number).name)
        self.number, self.runs = number, runs


def run_lessons(lessons: Sequence[Lesson], output: Path, *, console: Console, jobs: int = 1,
                timeout: float = 300.0) -> list[Run]:  # fmt: skip
    """Execute `lessons` in fresh kernels, at most `jobs` at once, and write the executed notebooks below `output`.

    Args:
        timeout: Seconds that one cell may take; 0 for no limit.

    Raises:
        Interrupted: By Ctrl-C, or a request to end or hang up.
    """
    runs = [Run(lesson) for lesson in lessons]
    stopped: list[int] = []
    try:
        asyncio.run(_run_all(runs, output, console, max(1, jobs), timeout, stopped))
    except (asyncio.CancelledError, KeyboardInterrupt):
        raise Interrupted(stopped[0] if stopped else signal.SIGINT, runs) from None
    return runs


async def _run_all(runs: list[Run], output: Path, console: Console, jobs: int, timeout: float,
                   stopped: list[int]) -> None:  # fmt: skip
    task = asyncio.current_task()
    assert task is not None

    def stop(number: int) -> None:
        stopped.append(number)
        # nbclient's watchers find their kernel gone, which asyncio would report after our last line.
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        task.cancel()

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        # Not on Windows, and not off the main thread: there asyncio.run alone turns Ctrl-C into a cancellation.
        with contextlib.suppress(AttributeError, NotImplementedError, RuntimeError):
            asyncio.get_running_loop().add_signal_handler(getattr(signal, name), stop, getattr(signal, name))
    display = _Display(runs, console)
    free = asyncio.Semaphore(jobs)
    threads = max(1, (os.cpu_count() or 1) // jobs) if jobs > 1 else None

    async def one(run: Run) -> None:
        async with free:
            target = output / run.lesson.relative
            await execute(run, target, timeout=timeout, threads=threads, changed=lambda: display.tell(run))

    with display:
        async with asyncio.TaskGroup() as group:
            for run in runs:
                group.create_task(one(run))


class _Display:
    """On a terminal a live table; elsewhere a line when a lesson begins and one when it ends."""

    def __init__(self, runs: list[Run], console: Console) -> None:
        self.runs, self.console = runs, console
        self.spinner = Spinner("dots")
        self.live = Live(console=console, get_renderable=self.render, refresh_per_second=8, transient=True)
        self.told: dict[int, str] = {}

    def __enter__(self) -> _Display:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.console.is_terminal:
            self.live.stop()

    def tell(self, run: Run) -> None:
        if self.console.is_terminal or self.told.get(id(run)) == run.state:
            return
        self.told[id(run)] = run.state
        label = run.lesson.relative.with_suffix("")
        if run.state == "running":
            self.console.print(f"{label}: {run.cells} cells ...", highlight=False, markup=False, soft_wrap=True)
        else:
            what = run.state + (f" {run.place}: {run.error}" if run.state == "failed" else "")
            self.console.print(f"{label}: {run.seconds:.1f} s, {what}", highlight=False, markup=False, soft_wrap=True)

    def render(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for run in self.runs:
            label = str(run.lesson.relative.with_suffix(""))
            if run.state == "running":
                seconds = time.perf_counter() - run.started
                table.add_row(self.spinner, label, f"cell {run.cell} of {run.cells}", f"{seconds:.0f} s")
            elif run.state == "waiting":
                table.add_row("[dim]·", f"[dim]{label}", "", "")
            else:
                mark = "[green]✓" if run.passed else "[red]✗"
                table.add_row(mark, label, run.state, f"{run.seconds:.1f} s")
        return table


def closing_table(runs: Sequence[Run], limits: Limits) -> Group:
    """The table `nnlab run` ends with, and below it the source and error of each failing cell."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("Lesson", no_wrap=True)
    table.add_column("Seconds", justify="right", no_wrap=True)
    table.add_column("Peak memory", justify="right", no_wrap=True)
    table.add_column("Result", overflow="fold")
    failures: list[str] = []
    for run in runs:
        label = str(run.lesson.relative.with_suffix(""))
        if run.state == "waiting":
            table.add_row(label, "", "", "[dim]not run")
            continue
        over = "".join(f" [yellow]({text})[/]" for text in limits.exceeded(run))
        if run.passed:
            result = f"[green]passed[/]{over}"
        elif run.state == "interrupted":
            result = f"[yellow]interrupted {run.place}"
        else:
            result = f"[red]failed {run.place}[/]{over}: {escape(run.error)}"
            lines = run.source.strip().splitlines()
            shown = lines[:6] + (["..."] if len(lines) > 6 else [])
            code = "\n".join(f"    {line}" for line in shown)
            failures.append(f"\n[bold]{label}[/], {run.place}:\n{escape(code)}\n[red]{escape(run.error)}[/]")
        table.add_row(label, f"{run.seconds:.1f}", f"{run.peak_bytes / _MB:,.0f} MB", result)
    return Group("", table, *failures)


def write_html(notebook: Path, target: Path) -> None:
    """Write an executed notebook as a page at `target`; links to other lessons lead to their pages."""
    import nbformat
    from nbconvert import HTMLExporter

    named = {"metadata": {"name": notebook.stem}}  # the page's title
    body, _ = HTMLExporter().from_notebook_node(nbformat.read(notebook, as_version=4), resources=named)
    body = re.sub(r'(href="[^":]*day\d+_\w+)\.ipynb', r"\1.html", body)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, body)
