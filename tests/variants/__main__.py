"""`python -m tests.variants [DAY ...]`: run lessons and solutions under every variant, and tell how far numbers move.

Without days all are run, which takes as many times as long as `make test` spends on notebooks as there are variants.
What came out is kept in `build/variants`; the stored table is written anew for the notebooks that every variant ran.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "plugins"), str(Path(__file__).parent)]

from variants import table  # noqa: E402
from variants.arithmetic import HELD_BACK, VARIANTS, Variant, distinct  # noqa: E402
from variants.recorder import FOLDER, NUDGE  # noqa: E402

from nnlab_helpers.pairs import notebook_of, scripts  # noqa: E402
from nnlab_helpers.sweep.shipped import made_here  # noqa: E402

RAW = ROOT / "build" / "variants"
MOST_ROWS = 25  # shown


def main() -> int:
    """The exit status is 0 where every number keeps within two thirds of its tolerance and nothing fails."""
    given = _arguments()
    wanted = [table.name_of(notebook_of(script)) for script in scripts(given.days)]
    names = given.only or [v.name for v in VARIANTS if not (given.tuning and v.name in HELD_BACK)]
    digests = distinct([variant for variant in VARIANTS if variant.name in names])
    for variant in tqdm([v for v in VARIANTS if v.name in digests], unit="variant", disable=None):
        if todo := [name for name in wanted if not (given.missing and _is_there(variant, name))]:
            run(variant, todo)
    rows, record = collect(digests)
    if not given.dry:
        table.write(rows, record)
    return report(rows, record, set(wanted))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.variants")
    parser.add_argument("days", nargs="*", metavar="DAY", help="as for `nnlab build`: 3, day03, day03_activations")
    parser.add_argument("--only", nargs="+", metavar="VARIANT", choices=[variant.name for variant in VARIANTS])
    parser.add_argument("--tuning", action="store_true", help=f"without those held back: {', '.join(HELD_BACK)}")
    parser.add_argument("--missing", action="store_true", help="run only what build/variants does not have")
    parser.add_argument("--dry", action="store_true", help="report, and leave the stored table as it is")
    return parser.parse_args()


def run(variant: Variant, names: list[str]) -> None:
    """Run the notebooks `names` through the regression under `variant`, and keep what their cells gave."""
    folder = RAW / variant.name
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        header = {"code": table.code_of(table.load(table.notebooks()[name]))}
        _raw(variant.name, name).write_text(json.dumps(header) + "\n")
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "variants.recorder", "-p", "no:cacheprovider", "--timeout=1800",
        "--nbval-cell-timeout=900", *(["--numprocesses=1"] if variant.threads > 1 else ["--numprocesses=2"]),
        *(str(table.notebooks()[name]) for name in names),
    ]  # fmt: skip
    environment = os.environ | variant.environment | {FOLDER: str(folder)}
    if variant.nudge is not None:
        environment[NUDGE] = str(variant.nudge)
    with (RAW / f"{variant.name}.log").open("w") as log:
        subprocess.run(command, env=environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, check=False)


def _raw(variant: str, name: str) -> Path:
    return RAW / variant / f"{name.replace('/', '-')}.jsonl"


def _is_there(variant: Variant, name: str) -> bool:
    return _read(variant.name, name, table.load(table.notebooks()[name])) is not None


def _read(variant: str, name: str, notebook: NotebookNode) -> dict[str, table.Outputs] | None:
    """What each cell of a notebook gave, or None if it was not run to its end with the code that it has now."""
    try:
        header, *lines = map(json.loads, _raw(variant, name).read_text().splitlines())
    except (FileNotFoundError, ValueError):
        return None
    if header != {"code": table.code_of(notebook)}:
        return None
    found = {line["cell"]: line["outputs"] for line in lines}
    return found if all(cell["id"] in found for cell in notebook.cells if cell.cell_type == "code") else None


def collect(digests: dict[str, dict[str, str]]) -> tuple[list[table.Row], dict[str, Any]]:
    """The table over all notebooks: from what was run, or as stored where `digests` names a variant that was not."""
    old_rows, old = table.read() if table.RECORD.is_file() else ([], {"notebooks": {}, "failures": []})
    rows: list[table.Row] = []
    failures: list[dict[str, str]] = []
    ran: dict[str, Any] = {}
    for name, path in table.notebooks().items():
        notebook = table.load(path)
        code = table.code_of(notebook)
        raw = {v: cells for v in digests if (cells := _read(v, name, notebook)) is not None}
        if len(raw) == len(digests):
            new_rows, new_failures, count = table.moved(name, notebook, raw)
            rows += new_rows
            failures += [vars(failure) for failure in new_failures]
            ran[name] = {"code": code, "decimals": count, "variants": sorted(raw)}
        elif name in old["notebooks"]:
            rows += [row for row in old_rows if row.notebook == name]
            failures += [failure for failure in old["failures"] if failure["notebook"] == name]
            ran[name] = old["notebooks"][name]
    return rows, {"made with": made_here(), "variants": digests, "notebooks": ran, "failures": failures}


def report(rows: list[table.Row], record: dict[str, Any], names: set[str]) -> int:
    """Print what moves most among the notebooks `names`; the exit status."""
    rows = sorted((row for row in rows if row.notebook in names), key=lambda row: -row.share)
    far = [row for row in rows if row.share > table.MOST_SHARE]
    failures: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for failure in record["failures"]:
        if failure["notebook"] in names:
            failures[failure["notebook"], failure["cell"], failure["what"]].append(failure["variant"])
    for row in rows[: max(MOST_ROWS, len(far))]:
        values = f"{row.stored:>10} {row.lowest:>10} {row.highest:>10}"
        print(f"{row.share:7.2f}  {values}  {row.notebook} {row.cell}: {row.line}")
    for (notebook, cell, what), variants in failures.items():
        print(f"FAILED  {notebook} {cell} under {', '.join(variants)}: {what}")
    count = sum(entry["decimals"] for name, entry in record["notebooks"].items() if name in names)
    print(
        f"{count} decimals compared, {len(rows)} move, {len(far)} by more than {table.MOST_SHARE:.2f} of their "
        f"tolerance; {len(failures)} failures"
    )
    return int(bool(far or failures))


if __name__ == "__main__":
    sys.exit(main())
