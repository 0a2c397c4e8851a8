"""Pieces of Markdown (MyST): tables, blocks, lists of pages."""

import re
import textwrap
from collections.abc import Iterable, Sequence

_CODE = re.compile(r"(`+[^`]*`+)")


def prose(text: str) -> str:
    """Return a docstring as paragraphs, without what Markdown would take for markup outside of code."""
    paragraphs = re.split(r"\n\s*\n", textwrap.dedent(text).strip())
    return "\n\n".join(_escaped(" ".join(paragraph.split())) for paragraph in paragraphs)


def cell(text: str) -> str:
    """Return a text for a table's cell: one line, its bars escaped."""
    return _escaped(" ".join(text.split())).replace("|", "\\|")


def code(text: str) -> str:
    """Return a short text as code in a line; it may be in a table's cell."""
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}".replace("|", "\\|")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; the cells are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def block(text: str, language: str = "yaml") -> str:
    """Return a block of code."""
    return f"```{language}\n{text.rstrip()}\n```"


def toctree(pages: Iterable[str]) -> str:
    """Return the list of the pages below a page, for the sidebar alone."""
    return ":::{toctree}\n:hidden:\n:maxdepth: 1\n\n" + "\n".join(pages) + "\n:::"


def page(title: str, *parts: str, listed: bool = True) -> str:
    """Return a page of its parts, without those that are empty.

    Only pages that are `listed` are in the sidebar, which every page of the site has a copy of.
    """
    front = [] if listed else ["---\norphan: true\n---"]
    return "\n\n".join([*front, f"# {title}", *(part.strip("\n") for part in parts if part)]) + "\n"


def _escaped(text: str) -> str:
    parts = _CODE.split(text)
    return "".join(part if part.startswith("`") else re.sub(r"([<*\[\]{}\\])", r"\\\1", part) for part in parts)
