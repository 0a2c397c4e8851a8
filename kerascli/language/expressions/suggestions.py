"""Suggestions in error messages of expressions: what to write in place of the syntax of other languages."""

# ruff: noqa: RUF001

from collections.abc import Mapping

CHARACTERS: Mapping[str, str] = {
    "^": "a power is written '**'", "&": "write 'and'", "|": "write 'or'", "!": "write 'not'", "~": "write 'not'",
    "?": "write 'a if test else b' over numbers, where(test, a, b) over tensors", ";": "an expression has one value",
    "{": "write a list: [a, b]", "×": "write '*'", "·": "write '*'", "÷": "write '/'", "−": "write '-'",
    "–": "write '-'", "²": "write '** 2'", "³": "write '** 3'", "√": "write sqrt(...)", "≤": "write '<='",
    "≥": "write '>='", "≠": "write '!='", "π": "write pi", "“": "write '\"'", "”": "write '\"'", "‘": "write \"'\"",
    "’": "write \"'\"",
}  # fmt: skip
"""Mapping from each character that expressions do not allow to a suggestion for the error message."""
WORDS: Mapping[str, str] = {
    "for": "there are no loops; operations apply to whole tensors", "is": "write '=='", "in": "write isin(a, b)",
    "xor": "write logical_xor(a, b)", ",": "several values are a list: [a, b]", "lambda": "functions cannot be defined",
    "<>": "write '!='", "=>": "write '>='", "=<": "write '<='",
}  # fmt: skip
"""Mapping from each word or pair of operator characters that expressions lack to a suggestion for the error message."""
FUNCTIONS_OF_TENSORS: Mapping[str, str] = {
    "pow": "write x ** y", "int": "write cast(x, 'int32')", "float": "write cast(x, 'float32')",
    "len": "write shape(x)[0]",
}  # fmt: skip
"""Mapping from each function that accepts only numbers to what to write when it is called with a tensor."""
_ATTRIBUTES: Mapping[str, str] = {
    "shape": "shape({})", "ndim": "ndim({})", "size": "size({})", "dtype": "dtype({})", "T": "transpose({})",
    "mT": "swapaxes({}, -1, -2)", "real": "real({})", "imag": "imag({})",
}  # fmt: skip
DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "float16", "bfloat16", "float32", "float64")
_NAMES: Mapping[str, str] = {
    **dict.fromkeys(("inf", "nan"), "only finite numbers are supported; -1e9 masks a value in a softmax"),
    **dict.fromkeys(("TRUE", "FALSE"), "write true or false"),
    **{name: f"a dtype is written as a text: '{name}'" for name in DTYPES},
}


def suggestion_for(name: str) -> str:
    """Return the end of an error message about an unknown name, such as `; write shape(x)` for `x.shape`; else ''."""
    owner, _, last = name.rpartition(".")
    if owner and last in _ATTRIBUTES:
        return f"; write {_ATTRIBUTES[last].format(owner)}"
    return f"; {_NAMES[name]}" if name in _NAMES else ""
