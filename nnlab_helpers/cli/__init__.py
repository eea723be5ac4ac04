"""The `nnlab` command: run the lessons, open them, and find out what is wrong.

Each command imports what it needs when it is called, so that `nnlab --help` answers at once.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from nnlab_helpers.cli.lessons import Lesson

app = typer.Typer(
    help="NN Lab: a hands-on course on neural networks, in notebooks that run on your machine.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
)
Days = Annotated[
    list[str] | None,
    typer.Argument(metavar="DAY", help="Which days: 3, day03 or day03_activations. All, if none is given.",
                   show_default=False),
]  # fmt: skip
Solutions = Annotated[bool, typer.Option("--solutions", help="The solution notebooks instead of the lessons.")]


@app.command()
def run(
    days: Days = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="How many lessons to run at once.")] = 1,
    solutions: Solutions = False,
    html: Annotated[
        Path | None, typer.Option(help="Also write each executed lesson as a web page into this folder.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the executed notebooks; if not given, build/lessons.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds that one cell may take; 0 for no limit.")] = 300,
    limit_seconds: Annotated[
        float | None, typer.Option(min=0, help="Mark lessons that take more seconds; if not given, than they promise.")
    ] = None,
    slack: Annotated[float, typer.Option(min=0, help="Allow this many times the seconds they promise.")] = 1,
    limit_memory: Annotated[float, typer.Option(help="Mark lessons that take more MB of memory than this.")] = 1500,
    strict: Annotated[bool, typer.Option("--strict", help="Fail if a lesson is over a limit.")] = False,
    update_readme: Annotated[
        bool, typer.Option("--update-readme", help="Write the measured seconds into the README's table (maintainers).")
    ] = False,
) -> None:
    """Run lessons from top to bottom, each in a fresh kernel.

    The lessons themselves stay as they are: what comes out is written to build/lessons. The closing table says how
    long each took, how much memory, and which cell failed, if one did; then the exit status is 1.
    """
    from rich.console import Console

    from nnlab_helpers.cli import lessons as catalogue
    from nnlab_helpers.cli import readme
    from nnlab_helpers.cli.execute import is_result
    from nnlab_helpers.cli.running import Interrupted, Limits, closing_table, run_lessons, write_html

    if update_readme and (solutions or jobs > 1):
        raise typer.BadParameter("--update-readme measures the lessons, one at a time: no --solutions, no --jobs")
    if not math.isfinite(timeout):
        raise typer.BadParameter("--timeout is a number of seconds; 0 stands for no limit")
    root, chosen = _choose(days, solutions)
    console = Console()
    limits = Limits(limit_seconds, limit_memory, slack)
    target = output or root / "build" / "lessons"
    if target.resolve().is_relative_to((root / "notebooks").resolve()):
        raise typer.BadParameter("the output folder must not be in notebooks/: lessons are never overwritten")
    for lesson in chosen if output else []:  # what is in our own folder is ours to replace
        if (there := target / lesson.relative).exists() and not is_result(there):
            raise typer.BadParameter(f"{there} was not written by `nnlab run` and would be lost: choose another folder")
    try:  # now rather than after minutes
        if update_readme:
            readme.read_rows((root / "README.md").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        _fail(f"README.md: {error}")
    _check_folder(target, "--output")
    if html is not None:
        _check_folder(html, "--html")
    try:
        runs = run_lessons(chosen, target, console=console, jobs=jobs, timeout=timeout)
    except Interrupted as stop:
        console.print(closing_table(stop.runs, limits))
        console.print(f"\nStopped by {stop}. No kernel is left running.", highlight=False)
        raise typer.Exit(128 + stop.number) from None
    console.print(closing_table(runs, limits))
    console.print(f"\nExecuted notebooks: {target}", highlight=False, soft_wrap=True)
    if html is not None:
        for done in runs:
            if (executed := target / done.lesson.relative).is_file():
                write_html(executed, html / done.lesson.relative.with_suffix(".html"))
        console.print(f"Web pages: {html}", highlight=False, soft_wrap=True)
    failed = any(not done.passed for done in runs)
    if update_readme and not failed:
        seconds = {done.lesson.day: done.seconds for done in runs}
        readme.update(root / "README.md", catalogue.find_lessons(root), seconds)
    if failed or (strict and any(limits.exceeded(done) for done in runs)):
        raise typer.Exit(1)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lab(
    context: typer.Context,
    port: Annotated[int | None, typer.Option(help="Port to listen on; if not given, the first free one.")] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
) -> None:
    """Open JupyterLab on the lessons.

    It is reachable from this machine alone and asks for a token, which the address it prints carries. Saving a lesson
    also saves its script in py/. Anything else on the command line goes to JupyterLab.
    """
    import os
    import subprocess

    from nnlab_helpers.cli.jupyter import lab_command, lab_environment

    root, _ = _choose(None, False)
    command = lab_command(root, port=port, browser=browser, extra=context.args)
    if os.name == "posix":
        os.execve(command[0], command, lab_environment())  # what ends this process, then ends the server
    raise typer.Exit(subprocess.call(command, env=lab_environment()))


@app.command()
def doctor() -> None:
    """Check this machine's set-up, and say what to do about each problem.

    Python, package versions against the pins, the device and why it was chosen, the data and its checksums, the
    notebook kernel, and whether each lesson is in step with its script. The exit status is 1 if there is a problem.
    """
    from rich.console import Console
    from rich.markup import escape

    from nnlab_helpers.cli.checkup import examine

    console = Console()
    marks = {"ok": "[green]✓[/]", "note": "[yellow]·[/]", "problem": "[red]✗[/]"}
    problems = 0
    for finding in examine():
        line = f"{marks[finding.state]} {finding.what + ':':<10} {escape(finding.detail)}"
        console.print(line, highlight=False, soft_wrap=True)
        if finding.state == "problem":
            problems += 1
            console.print(f"  {'':<10} [bold]remedy:[/] {escape(finding.remedy)}", highlight=False, soft_wrap=True)
    if problems:
        console.print(f"\n[red]{problems} problem{'s' if problems > 1 else ''}.[/]", highlight=False)
        raise typer.Exit(1)
    console.print("\n[green]All is well.[/]")


@app.command()
def build(
    days: Days = None,
    check: Annotated[
        bool, typer.Option("--check", help="Execute and write nothing: report the pairs that are not in step.")
    ] = False,
    take: Annotated[
        str | None, typer.Option(metavar="script|notebook", help="Which side counts where both were edited.")
    ] = None,
) -> None:
    """Write lessons and solutions anew from their scripts in py/, executed (for maintainers).

    A notebook that was edited apart from its script is left alone, unless --take says which of the two counts.
    """
    from nnlab_helpers.cli.lessons import LessonError, find_root
    from nnlab_helpers.pairs import build_all

    if take not in (None, "script", "notebook"):
        raise typer.BadParameter("--take is either script or notebook")
    try:
        failed = build_all(days or [], check=check, take=take, folder=find_root() / "notebooks")  # type: ignore[arg-type]
    except (LessonError, LookupError) as error:
        _fail(str(error))
    if failed:
        raise typer.Exit(1)


@app.command()
def pins() -> None:
    """Write constraints.txt and environment.yml anew from what is installed (for maintainers)."""
    from nnlab_helpers.cli.lessons import LessonError, find_root
    from nnlab_helpers.cli.pinning import write_pins

    try:
        for path in write_pins(find_root()):
            typer.echo(path)
    except (LessonError, ModuleNotFoundError) as error:
        _fail(f"{error}: install everything first, with make test")


def _choose(days: list[str] | None, solutions: bool) -> tuple[Path, list[Lesson]]:
    from nnlab_helpers.cli.lessons import LessonError, find_lessons, find_root, select

    try:
        root = find_root()
        found = find_lessons(root, solutions=solutions)
        if not found:
            raise LessonError(f"there are no lessons in {root / 'notebooks'}")
        return root, select(found, days or [])
    except LessonError as error:
        _fail(str(error))


def _check_folder(folder: Path, option: str) -> None:
    from nnlab_helpers.files import check_writable

    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_writable(folder / "any")
    except OSError as error:
        _fail(f"{error}. Choose a folder that you can write, with {option} FOLDER")


def _fail(message: str) -> NoReturn:
    typer.secho(f"nnlab: {message}", fg="red", err=True)
    raise typer.Exit(2)
