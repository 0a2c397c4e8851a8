"""Suggestions in error messages of expressions: what to write in place of the syntax of R and NumPy."""

from collections.abc import Mapping

CHARACTERS: Mapping[str, str] = {
    "^": "a power is written '**'", "&": "write 'and'", "|": "write 'or'", "!": "write 'not'", "~": "write 'not'",
}  # fmt: skip
"""Mapping from each operator that expressions lack to a suggestion for the error message."""
_ATTRIBUTES = ("shape", "ndim", "size", "dtype")


def suggestion_for(name: str) -> str:
    """Return the end of an error message about an unknown name, such as `; write shape(x)` for `x.shape`; else ''."""
    owner, _, last = name.rpartition(".")
    return f"; write {last}({owner})" if owner and last in _ATTRIBUTES else ""
