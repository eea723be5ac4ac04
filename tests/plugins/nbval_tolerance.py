"""A pytest plugin that makes nbval compare numbers within a tolerance, and strict where nbval is lenient.

nbval re-executes a notebook and compares every output character by character. With this plugin (`-p nbval_tolerance`)

- words must match, and numbers must match within a tolerance: whole numbers exactly, decimals within `RTOL` or one unit
  of their last printed place; `nan` and `inf` by name. A cell sets its own in its metadata:
  `{"tolerance": {"rtol": 0.2}}` or `{"tolerance": {"rtol": 0.05, "atol": 0.01}}`;
- there must be as many images as are stored (their pixels are not compared);
- anything on stderr, stored or fresh, is a failure, so a new warning is one;
- a code cell that was never executed is a failure (nbval would pass over it), and so is a cell that is expected to
  raise and does not;
- a cell that is skipped or not compared must say why in its metadata (`"why"`); the summary lists them all.

It needs nothing but pytest and nbval.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from difflib import unified_diff
from itertools import pairwise
from math import isclose
from typing import Any

import pytest
from nbval.plugin import IPyNbCell

RTOL = 0.01
IMAGES = {"image/png", "image/jpeg", "image/svg+xml", "application/pdf"}
NOT_COMPARED = {"application/vnd.jupyter.widget-view+json"}  # model ids are random
STYLE = re.compile(r'\s+style="[^"]*"|<style\b.*?</style>', re.DOTALL)  # how a table looks is not compared
SHOWN = 5  # differing numbers named in a failure

# Comparing two texts -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tolerance:
    """How far a decimal may move: |a - b| <= max(rtol * max(|a|, |b|), atol).

    Without an `atol` of its own it is one unit in the last printed place where the number, or another in the same
    array, has two significant digits: 0.12 may become 0.13, but 0.1 not 0.2, and 1e-06 not 9e-06. A cell that prints
    rounding noise, which is worth as much as zero, says so: `{"atol": 1e-5}`.
    """

    rtol: float = RTOL
    atol: float | None = None

    @classmethod
    def of(cls, metadata: dict[str, Any]) -> Tolerance:
        """The tolerance a cell asks for. Raises: ValueError if it is not understood."""
        given = metadata.get("tolerance", {})
        if not isinstance(given, dict) or not given.keys() <= {"rtol", "atol"}:
            raise ValueError(f'tolerance is {given!r}, not like {{"rtol": 0.1, "atol": 0.01}}')
        for key, value in given.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
                raise ValueError(f"tolerance has {key} = {value!r}, not a number of at least 0")
        return cls(**given)

    def allows(self, a: Number, b: Number) -> float:
        """How far apart `a` and `b` may be."""
        if a.whole or b.whole:
            return 0.0
        atol = self.atol
        if atol is None:
            atol = min(a.unit, b.unit) * 1.000001 if min(a.digits, b.digits) >= 2 else 0.0
        return max(self.rtol * max(abs(a.value), abs(b.value)), atol)


@dataclass(frozen=True)
class Number:
    """A number as it is printed; `start` and `end` are its place in the text."""

    text: str
    start: int
    end: int
    digits: int = 0  # significant ones, of this number or of the most precise one in its array

    @property
    def plain(self) -> str:
        return self.text.replace(",", "").replace("−", "-").lower()

    @property
    def value(self) -> float:
        return float(self.plain)

    @property
    def named(self) -> bool:
        return self.plain[-1] in "nfy"  # nan, inf, infinity

    @property
    def whole(self) -> bool:
        return not self.named and not re.search(r"[.e]", self.plain)

    @property
    def unit(self) -> float:
        """One in the last printed place: 0.01 for 3.14."""
        if self.named:
            return 0.0
        mantissa, _, exponent = self.plain.partition("e")
        return 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))


# A number stands alone, or has a unit behind it (1.5s, 98.2%). What is part of a word (conv1, 640x480), of a version
# (2.15.0) or of an id is text, and so must match exactly.
NUMBER = re.compile(
    r"""
    (?: (?<![\w.)\]+−-]) [-+−] )?                    # a sign, but not the hyphen of 3-4 or x-1
    (?<![\w.])
    (?: (?: (?<![\[,]) \d{1,3}(?:,\d{3})+ (?!\]) | \d+ )    # 7   1234   1,234, but [1,234] is two
        (?: \.\d+ | \.(?=[\],)e]|\s+[-\d\]]) )?  # .5, and the bare point of tensor([1., 2.])
      | \.\d+
    )
    (?: [eE][-+]?\d+ )?
    (?! \w | \.\d )
  | (?: (?<![\w.)\]+−-]) [-+−] )?
    (?<![\w.])
    (?: \d{1,3}(?:,\d{3})+ | \d+ ) \.\d+             # a decimal with its unit
    (?= [A-Za-zµ]{1,5} (?![\w.]) )
  | (?: (?<![\w.)\]+−-]) [-+−] )?
    \b (?: nan | NaN | inf | Infinity ) \b
    """,
    re.VERBOSE,
)
NOTHING = re.compile(r"(?:[\s,\[\]()]|<[^<>]*>)*")  # stands between the entries of an array or the cells of a table


def numbers_in(text: str) -> list[Number]:
    """The numbers printed in `text`, in order."""
    found = [Number(text[start:end], start, end) for start, end in _places(text)]
    arrays: list[list[Number]] = []
    for number in found:
        last = arrays[-1][-1] if arrays else None
        if last and last.unit == number.unit and NOTHING.fullmatch(text, last.end, number.start):
            arrays[-1].append(number)
        else:
            arrays.append([number])
    return [
        replace(number, digits=max(len(re.sub(r"e.*|\D", "", n.plain).lstrip("0")) for n in array))
        for array in arrays
        for number in array
    ]


def _places(text: str) -> Iterator[tuple[int, int]]:
    """Where numbers begin and end. A bare point is a decimal one in an array alone; elsewhere it ends a sentence."""
    for match in NUMBER.finditer(text):
        start, end = match.span()
        before = text[:start].rstrip("+-−")
        in_array = before.rfind("[") > before.rfind("]") or before.endswith(("tensor(", "array("))
        yield start, end - (match[0].endswith(".") and not in_array)


def compare(stored: str, fresh: str, tolerance: Tolerance = Tolerance()) -> str | None:
    """What differs between two texts beyond `tolerance`, or None."""
    if stored == fresh:
        return None
    old, new = numbers_in(stored), numbers_in(fresh)
    widths = [len(a.text) for a in old] != [len(b.text) for b in new]
    words_old, words_new = list(_between(stored, old, widths)), list(_between(fresh, new, widths))
    if words_old != words_new:
        lines_old, lines_new = stored.splitlines(), fresh.splitlines()
        if lines_old == lines_new:
            lines_old, lines_new = ([ascii(line) for line in text.splitlines(True)] for text in (stored, fresh))
        diff = unified_diff(lines_old, lines_new, "stored", "fresh", lineterm="", n=1)
        return "the words differ\n" + "\n".join(_first(diff, 40))
    wrong = []
    for position, (a, b) in enumerate(zip(old, new, strict=True), start=1):
        if not _same(a, b, tolerance):
            wrong.append(f"number {position} of {len(old)}: {_explain(a, b, tolerance)}\n{_lines(stored, fresh, a, b)}")
    if not wrong:
        return None
    more = [f"and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
    return "\n".join(wrong[:SHOWN] + more)


def _same(a: Number, b: Number, tolerance: Tolerance) -> bool:
    if a.named or b.named:
        return a.plain.lstrip("+") == b.plain.lstrip("+")
    if a.whole != b.whole:
        return False
    if a.whole:
        return int(a.plain) == int(b.plain)
    return abs(a.value - b.value) <= tolerance.allows(a, b) or isclose(a.value, b.value, rel_tol=1e-12)


def _explain(a: Number, b: Number, tolerance: Tolerance) -> str:
    told = f"stored {a.text}, fresh {b.text}"
    if a.named or b.named:
        return told
    if a.whole or b.whole:
        return told + (": whole numbers match exactly" if a.whole and b.whole else ": one is whole, the other is not")
    off, limit = abs(a.value - b.value), tolerance.allows(a, b)
    share = f" ({off / abs(a.value):.2%})" if a.value else ""
    return f"{told}: off by {off:.3g}{share}, allowed {limit:.3g} (rtol {tolerance.rtol:g}, atol {_atol(tolerance)})"


def _atol(tolerance: Tolerance) -> str:
    return "a unit in the last place" if tolerance.atol is None else f"{tolerance.atol:g}"


def _lines(stored: str, fresh: str, a: Number, b: Number) -> str:
    """The lines that two numbers stand on."""
    return "\n".join(
        f"    {name}: {text[text.rfind(chr(10), 0, at.start) + 1 :].partition(chr(10))[0][:160]}"
        for name, text, at in (("stored", stored, a), ("fresh ", fresh, b))
    )


def _between(text: str, numbers: list[Number], widths_differ: bool) -> Iterator[str]:
    """The text around the numbers. Where numbers are printed wider than they were, columns shift and lines wrap
    elsewhere, so blanks count less."""
    edges = [0, *(edge for number in numbers for edge in (number.start, number.end)), len(text)]
    for start, end in list(pairwise(edges))[::2]:
        words = text[start:end]
        if widths_differ:
            words = re.sub(r"\s*\n[ \t]+(?=[\[(]*$)", " ", words)  # an array's next line
            words = re.sub(r"([-─━═=])\1{2,}", r"\1\1\1", words)  # rules as wide as a table
            words = re.sub(r"[ \t]+", " ", words)
            words = re.sub(r" ?\n ?", "\n", words)
            words = words.strip(" ") if numbers else words
            words = re.sub(r"(?<=[\[(]) | (?=[\])])", "", words)
        yield words


def _first(lines: Iterable[str], count: int) -> list[str]:
    lines = list(lines)
    return lines[:count] + ([f"... {len(lines) - count} more lines"] if len(lines) > count else [])


# In nbval ----------------------------------------------------------------------------------------------------------


class TolerantCell(IPyNbCell):
    """A code cell as nbval runs it, compared as this plugin does."""

    def runtest(self) -> None:
        problems = self.declared_problems()
        why = str(self.cell.metadata.get("why", "")).strip()
        if self.options["skip"] or not self.options["check"]:
            what = "skipped" if self.options["skip"] else "not compared"
            self.user_properties.append(("nbval_uncompared", f"{self.nodeid} ({what}): {why or 'no reason given'}"))
        if not self.options["skip"]:
            super().runtest()
            problems += self.fresh_problems()
        elif not problems:
            pytest.skip(why)
        if problems:
            self.raise_cell_error("; ".join(problems[:1]), "\n".join(problems))

    def declared_problems(self) -> list[str]:
        """What is wrong with the stored cell, whatever a run gives."""
        problems = []
        if self.cell.source.strip() and self.cell.execution_count is None and not self.options["skip"]:
            problems.append("The cell was never executed: it has no execution count, and nothing to compare with")
        if (self.options["skip"] or not self.options["check"]) and not str(self.cell.metadata.get("why", "")).strip():
            problems.append('The cell is not compared and does not say why: give its metadata a "why"')
        for output in self.cell.outputs:
            if output.output_type == "stream" and output.name == "stderr" and output.text.strip():
                problems.append(f"The stored cell has a warning or other text on stderr:\n{output.text.strip()}")
        try:
            Tolerance.of(self.cell.metadata)
        except ValueError as error:
            problems.append(str(error))
        return problems

    def fresh_problems(self) -> list[str]:
        """What is wrong with what the cell gave now, whatever is stored."""
        outputs = self.test_outputs or []
        problems = [
            f"The cell gave a warning or other text on stderr:\n{output.text.strip()}"
            for output in outputs
            if output.output_type == "stream" and output.name == "stderr" and output.text.strip()
        ]
        if self.options["check_exception"] and not any(output.output_type == "error" for output in outputs):
            problems.append("The cell is expected to raise an exception and did not")
        return problems

    def compare_outputs(self, test: list[Any], ref: list[Any], skip_compare: Any = None) -> bool:
        """Compare fresh and stored outputs; what differs goes into `comparison_traceback`."""
        try:
            tolerance = Tolerance.of(self.cell.metadata)
        except ValueError:
            tolerance = Tolerance()  # reported as a problem of its own
        fresh, stored = self.by_kind(test), self.by_kind(ref)
        self.comparison_traceback = []
        for kind in [*stored, *(kind for kind in fresh if kind not in stored)]:
            old, new = stored[kind], fresh[kind]
            if len(old) != len(new):
                told = f"{kind}: {len(old)} stored, {len(new)} fresh"
                lines = [] if kind in IMAGES else [str(value)[:2000] for value in old or new]
                self.comparison_traceback += [told, *lines]
            for a, b in zip(old, new, strict=False):
                if kind not in IMAGES and (difference := compare(a, b, tolerance)):
                    self.comparison_traceback.append(f"{kind}: {difference}")
        return not self.comparison_traceback

    def by_kind(self, outputs: list[Any]) -> dict[str, list[str]]:
        """Outputs as text, by stream or MIME type; stderr, which is judged elsewhere, left out."""
        kinds = texts_by_kind(outputs).items()
        return defaultdict(list, {kind: [self.sanitize(text) for text in texts] for kind, texts in kinds})


def texts_by_kind(outputs: list[Any]) -> dict[str, list[str]]:
    """Outputs as text, by stream or MIME type, without stderr and without the style of tables."""
    found: dict[str, list[str]] = defaultdict(list)
    for output in outputs:
        if output.output_type == "stream":
            if output.name != "stderr":
                found[output.name].append(output.text)
        elif output.output_type == "error":
            found["error"].append(f"{output.ename}: {output.evalue}")
        else:
            for mime, value in output.data.items():
                if mime not in NOT_COMPARED:
                    text = value if isinstance(value, str) else json.dumps(value, indent=1, sort_keys=True)
                    found[mime].append(STYLE.sub("", text) if mime == "text/html" else text)
    return found


def pytest_itemcollected(item: pytest.Item) -> None:
    """Compare nbval's cells as this plugin does."""
    if type(item) is IPyNbCell:
        item.__class__ = TolerantCell


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List the cells that were not compared, each with its reason."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    told = dict.fromkeys(
        value
        for report in reports
        for key, value in getattr(report, "user_properties", [])
        if key == "nbval_uncompared"
    )
    if told:
        terminalreporter.section("cells not compared")
        for line in sorted(told):
            terminalreporter.line(line)
