"""Find lines of a config in which a colon or a space is missing, and suggest the line to write instead."""

import re

from kerascli.config.yaml.source import Source
from kerascli.foundation.errors import Fault

_WORD = r"[A-Za-z_][\w.]*"
ASSIGNMENT = re.compile(rf"\s*({_WORD})\s*(<-|=)\s*(.+?)\s*")
"""Pattern of a key and a value with the assignment sign of R or Python (`<-`, `=`) between them."""
_HYPHEN = re.compile(rf"-({_WORD})")
"""Pattern of a list item without a space after its hyphen."""
_COMMENT = re.compile(r"\s+#.*")
_ITEM = re.compile(r"\s*(?:- +)*")
_NO_SPACE = re.compile(rf"({_WORD}):(\S.*)")
_TWO_KEYS = re.compile(rf"({_WORD}):\s+({_WORD}:\s+.+)")
_NO_COLON = re.compile(rf"({_WORD})\s+(.+)")


def repair(source: Source, line: int) -> Fault | None:
    """Return a config error that suggests a correction of line `line` (counted from 1) or of the nearest line above
    with content; None if neither has a known mistake.

    `line` is the line at which the YAML parser stopped. The parser joins a line without a colon with the next line, and
    stops at the colon there.
    """
    number = line - 1
    fault = _fault(source, number)
    while fault is None and number > 0 and _written(source.lines[number := number - 1]) == "":
        pass
    return fault or _fault(source, number)


def unspaced_item(source: Source, first: int, last: int) -> Fault | None:
    """Return a config error for the first list item without a space after its hyphen in lines `first` to `last`
    (counted from 1); None if there is no such item.

    The YAML parser reads such an item as a key, and stops at the next item of the list.
    """
    lines = (number for number in range(first - 1, last) if _HYPHEN.match(source.lines[number].lstrip()))
    return next((_fault(source, number) for number in lines), None)


def two_keys(line: str) -> str | None:
    """Return the correct form of a line with two keys, such as `fit: epochs: 3`; None for any other line."""
    match = _TWO_KEYS.fullmatch(_written(line))
    return None if match is None else f"{match[1]}: {{{match[2]}}}"


def _written(line: str) -> str:
    """Return a line of a config without its comment and surrounding space."""
    return "" if line.lstrip().startswith("#") else _COMMENT.sub("", line).strip()


def _fault(source: Source, number: int) -> Fault | None:
    """Return the config error of a line (`number` counts from 0), with the corrected line as hint; None if no known
    mistake is found."""
    line = source.lines[number]
    match = _ITEM.match(line)
    repaired = _meant(_written(line[match.end() :])) if match else None
    if match is None or repaired is None:
        return None
    text, written = repaired
    return Fault(text, place=source.spot(number, match.end()), hint=f"write {written}")


def _meant(line: str) -> tuple[str, str] | None:
    """Return (error message, corrected line) for a line of YAML without its indentation; None if no known mistake is
    found."""
    if match := ASSIGNMENT.fullmatch(line):
        return f"no ': ' after '{match[1]}', but '{match[2]}'", f"{match[1]}: {match[3]}"
    if match := _HYPHEN.match(line):
        return f"a space is missing after '-' in '{match[0]}'", f"- {line[1:]}"
    if match := _NO_SPACE.fullmatch(line):
        return f"a space is missing after ':' in '{line}'", f"{match[1]}: {match[2]}"
    if re.fullmatch(_WORD, line):
        return f"no ':' follows '{line}'", f"{line}:"
    if match := _NO_COLON.fullmatch(line):
        return f"no ': ' follows '{match[1]}'", f"{match[1]}: {match[2]}"
    return None
