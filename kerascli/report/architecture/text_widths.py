"""Widths of texts in the font of diagrams, DejaVu Sans, without a library that reads fonts."""

import json
from functools import cache
from importlib.resources import files

_FIRST = 32
_FURTHER = {"\N{MULTIPLICATION SIGN}": 1716, "\N{MIDDLE DOT}": 651}
_OTHER = 2048
"""Width of a character that is not in the table: no letter is much wider."""


@cache
def _widths() -> dict[str, list[int]]:
    """Return the widths of the characters from the space to `~`, in 2048ths of the font size, regular and bold."""
    return json.loads((files("kerascli.report.architecture") / "text_widths.json").read_text(encoding="utf-8"))


@cache
def text_width(text: str, size: float, bold: bool) -> float:
    """Return the width of a text in pixels; `size` is the font size in pixels."""
    widths = _widths()["bold" if bold else "regular"]
    listed = (
        widths[at] if 0 <= (at := ord(each) - _FIRST) < len(widths) else _FURTHER.get(each, _OTHER) for each in text
    )
    return size * sum(listed) / 2048
