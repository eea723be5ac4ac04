"""Show results: rich in a notebook, plain text elsewhere."""

from __future__ import annotations

import html
import re
import sys
from dataclasses import dataclass

# Okabe and Ito's green and vermilion: told apart by colour-blind readers, readable on white and on black.
COLOURS = {"✓": "#009E73", "✗": "#D55E00", "○": "#8A8A8A", "→": "#3D8FC6"}
WORDS = {"✓": "right", "✗": "wrong", "○": "not attempted", "→": "hint"}


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
        return "\n".join([start + self.headline, *(" " * len(start) + note for note in self.notes)])

    def to_html(self) -> str:
        """Return a box that takes its text colour from the page, so that it suits a light and a dark theme."""
        colour = COLOURS[self.mark]
        lines = "".join(f'<div style="margin-top: 2px; white-space: pre-wrap">{rich(note)}</div>' for note in self.notes)
        return (
            f'<div style="border-left: 4px solid {colour}; background: rgba(128, 128, 128, 0.08);'
            ' padding: 6px 12px; margin: 2px 0; line-height: 1.5">'
            f'<span role="img" aria-label="{WORDS[self.mark]}" style="color: {colour}; font-weight: bold">'
            f"{self.mark}</span> "
            f'<code style="background: transparent; color: inherit; opacity: 0.75">{html.escape(self.id)}</code>'
            f'<div style="white-space: pre-wrap">{rich(self.headline)}</div>{lines}</div>'
        )


def rich(text: str) -> str:
    """Escape `text` for HTML, with `code` in backticks set as code."""
    return re.sub(r"`([^`]+)`", r'<code style="color: inherit">\1</code>', html.escape(text, quote=False))


def show(text: str, markup: str) -> None:
    """Display both forms in a notebook, which picks one; print `text` elsewhere."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None:
        print(text)
        return
    from IPython.display import display

    display({"text/plain": text, "text/html": markup}, raw=True)
