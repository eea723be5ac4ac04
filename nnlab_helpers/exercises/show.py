"""Show results: rich in a notebook, plain text elsewhere."""

from __future__ import annotations

import html
import itertools
import re
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

# Okabe and Ito's green and vermilion: told apart by colour-blind readers, visible on white and on black.
COLOURS = {"✓": "#009E73", "✗": "#D55E00", "○": "#8A8A8A", "→": "#3D8FC6"}
WORDS = {"✓": "right", "✗": "wrong", "○": "not attempted", "→": "hint"}
BAR = 10  # blocks in the plain bar of a day

GREY = "rgba(128, 128, 128, {})"  # half transparent: it suits a light page and a dark one
BOX = f"border-left: 4px solid {{}}; background: {GREY.format(0.08)}; padding: 6px 12px; margin: 2px 0"
CODE = "background: transparent; color: inherit; padding: 0"
LINE = '<div style="white-space: pre-wrap">{}</div>'
CELL = "text-align: left; background: transparent; padding: 2px 14px 2px 0"


@dataclass(frozen=True)
class Card:
    """One answer to the learner: a mark, the exercise's id, a headline and lines below it."""

    mark: str
    id: str
    headline: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Plain text, the lines below aligned with the headline."""
        start = f"{self.mark} {self.id}   "
        return start + ("\n" + " " * len(start)).join(printable("\n".join((self.headline, *self.notes))).splitlines())

    def to_html(self) -> str:
        """Return a box that takes its text colour from the page, so that it suits a light and a dark theme."""
        lines = printable("\n".join((self.headline, *self.notes))).splitlines()
        name = f'<code style="{CODE}; opacity: 0.8">{html.escape(self.id)}</code>'
        body = "".join(LINE.format(rich(line)) for line in lines)
        return f'<div style="{BOX.format(COLOURS[self.mark])}">{mark_html(self.mark)} {name}{body}</div>'

    def show(self) -> None:
        """Display the card."""
        show(str(self), self.to_html())


@dataclass(frozen=True)
class Row:
    """One exercise in the overview."""

    day: str
    mark: str
    id: str
    title: str
    stars: int


def show_progress(rows: Sequence[Row], told: str = "") -> None:
    """Display a bar per day and a line per exercise; `told` is a note about the record, below."""
    text, markup = [], []
    for day, group in itertools.groupby(rows, key=lambda row: row.day):
        found = list(group)
        solved = sum(row.mark == "✓" for row in found)
        name, count = f"day {int(day[3:])}", f"{solved} of {len(found)} solved"
        blocks = BAR * solved // len(found)
        text.append(f"{name:<7}{'█' * blocks}{'░' * (BAR - blocks)}  {count}")
        text += [f"  {row.mark} {row.id:<34} {stars(row.stars)}  {row.title}" for row in found]
        markup.append(_day_html(name, count, solved / len(found), found))
    below = [line for line in ("" if rows else "There are no exercises yet.", told) if line]
    show("\n".join(text + below), "".join(markup + [LINE.format(rich(line)) for line in below]))


def _day_html(name: str, count: str, share: float, rows: Sequence[Row]) -> str:
    bar = (
        f'<div style="display: inline-block; width: 180px; height: 10px; background: {GREY.format(0.25)}">'
        f'<div style="width: {share:.0%}; height: 10px; background: {COLOURS["✓"]}"></div></div>'
    )
    cells = "".join(
        f'<tr style="background: transparent"><td style="{CELL}">{mark_html(row.mark)}</td>'
        f'<td style="{CELL}"><code style="{CODE}">{html.escape(row.id)}</code></td>'
        f'<td style="{CELL}">{stars(row.stars)}</td><td style="{CELL}">{rich(row.title)}</td></tr>'
        for row in rows
    )
    colour = COLOURS["✓"] if share == 1 else COLOURS["○"]
    table = f'<table style="margin: 2px 0 4px 0; border: none">{cells}</table>'
    return f'<div style="{BOX.format(colour)}"><b>{name}</b> &nbsp; {bar} &nbsp; {count}{table}</div>'


def stars(count: int) -> str:
    """Return one to three stars out of three: `★★☆`."""
    return "★" * count + "☆" * (3 - count)


def mark_html(mark: str) -> str:
    """Return the coloured mark, with a word for those who hear the page."""
    style = f"color: {COLOURS[mark]}; font-weight: bold"
    return f'<span role="img" aria-label="{WORDS[mark]}" style="{style}">{mark}</span>'


def rich(text: str) -> str:
    """Escape `text` for HTML, with `code` in backticks, and calls of `hint`, set as code."""
    code = rf'<code style="{CODE}">\1\2</code>'
    return re.sub(r'`([^`]+)`|(?<!`)(hint\("[\w.]+"\))', code, html.escape(text, quote=False))


def printable(text: str) -> str:
    """Return `text` without control characters, of which a learner's output may be full."""
    return "".join(c if c == "\n" or unicodedata.category(c)[0] != "C" else " " for c in text)


def show(text: str, markup: str) -> None:
    """Display both forms in a notebook, which picks one; print `text` elsewhere."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None:
        print(text)
        return
    from IPython.display import display

    display({"text/plain": text, "text/html": markup}, raw=True)
