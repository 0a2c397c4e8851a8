"""Read unquoted YAML scalars (numbers, booleans ...) by YAML 1.2's core schema; ambiguous scalars are refused.

Numbers are decimal, `0x1F` or `0o17`; `true` and `false` are booleans, `null` and `~` are null; `no`, `on` and dates
are text. Refused are scalars that YAML 1.1 reads as another number (`010`, `12:30`, `1_000`, `0b1`), numbers that are
not finite and integers larger than 10**18.
"""

import math
import re

Scalar = str | int | float | bool | None

MAX_INTEGER = 10**18

_CONSTANTS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_BASED = re.compile(r"0(x[0-9a-fA-F]+|o[0-7]+)\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z")
_AMBIGUOUS = (
    (re.compile(r"[-+]?0[0-9]+\Z"), "YAML 1.1 read a number with a leading zero as octal"),
    (re.compile(r"[-+]?0[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?\Z"), "a number with a leading zero"),
    (re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?\Z"), "YAML 1.1 read it as a number in base 60"),
    (re.compile(r"[-+]?0b[01_]+\Z"), "YAML 1.1 read it as a binary number"),
    (re.compile(r"[-+]?(0x[0-9a-fA-F_]+|0o?[0-7_]+)\Z"), "a number with a sign or an underscore in it"),
    (re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?\Z"), "a number with an underscore in it"),
)


class ScalarError(ValueError):
    """Error of an unquoted YAML scalar that is refused (ambiguous, too large); the hint says what to write instead."""

    def __init__(self, text: str, hint: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint


def read_scalar(text: str) -> Scalar:
    """Convert the text of an unquoted YAML scalar to a number, a boolean, None or text. Raises ScalarError."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if not (text[0].isdigit() or text[0] in "+-."):
        return text
    if _DECIMAL.match(text) or _BASED.match(text):
        # checked before int(), which refuses thousands of digits with another message
        if len(text) > 24 or abs(value := int(text, 0)) > MAX_INTEGER:
            raise ScalarError(f"the integer {_short(text)} is out of range: at most 10^18 in size")
        return value
    if _FLOAT.match(text) and math.isfinite(number := float(text)):
        return number
    if _FLOAT.match(text) or _NOT_FINITE.match(text):
        raise ScalarError(f"'{_short(text)}' is not a finite number")
    for pattern, reason in _AMBIGUOUS:
        if pattern.match(text):
            hint = "quote it for text, or write a plain decimal number"
            raise ScalarError(f"ambiguous value '{_short(text)}': {reason}", hint)
    return text


def _short(text: str) -> str:
    return text if len(text) <= 30 else f"{text[:27]}..."
