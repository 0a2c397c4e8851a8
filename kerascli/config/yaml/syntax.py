"""Conversion of PyYAML's syntax errors into config errors with plain messages.

For lines in which a colon or a space is missing, the message has the line to write instead.
"""

import re
from dataclasses import replace

from yaml.error import MarkedYAMLError

from kerascli.config.yaml.source import Source
from kerascli.foundation.disk.files import is_windows_path, posix_path
from kerascli.foundation.errors import Fault, Place

_QUOTE = "quote text that contains ', ' [ ] { } '#' or ': '"
_TOKENS = {
    "<stream end>": "the end of the file",
    "<document start>": "'---'",
    "<document end>": "'...'",
    "<block end>": "the end of the block",
    "<block mapping start>": "a key",
    "<block sequence start>": "a list",
    "<scalar>": "text",
    "<alias>": "an alias",
    "<anchor>": "an anchor",
    "<tag>": "a tag",
}


def syntax_fault(error: MarkedYAMLError, source: Source) -> Fault:
    """Convert an error of PyYAML's scanner or parser to a config error with a position in the text."""
    here = source.place(error.problem_mark or error.context_mark)
    opened = source.place(error.context_mark) if error.context_mark else here
    problem, context = error.problem or "cannot be read", error.context or ""
    indentation = here.source[: len(here.source) - len(here.source.lstrip(" \t"))]
    if "\t" in indentation or r"'\t'" in problem:
        place = source.spot((here.line or 1) - 1, indentation.find("\t")) if "\t" in indentation else here
        return Fault("a tab character; YAML is indented with spaces", place=place)
    if "quoted scalar" in context:
        return _quoted(problem, here, opened)
    if "scalar" in context:
        return Fault(f"'{_character(opened)}' starts a block of text below", place=opened, hint="quote the text")
    whole = f"{context} {problem}"
    if "tag" in whole:
        return Fault("tags ('!...') are not allowed: a config is data only", place=opened)
    if any(part in whole for part in ("an alias", "an anchor", "cannot start any token")):
        return Fault(f"text cannot start with '{_character(opened)}'", place=opened, hint="quote it")
    return _repaired(problem, here, opened, source) or _structure(problem, here, opened)


def _repaired(problem: str, here: Place, opened: Place, source: Source) -> Fault | None:
    """Return the config error of a line in which a colon or a space is missing, with the line to write."""
    if "<block end>" in problem and opened.line and here.line:
        return unspaced_item(source, opened.line, here.line)
    if "mapping values" in problem or "expected ':'" in problem:
        return repair(source, (here if "mapping" in problem else opened).line or 1)
    return None


def _structure(problem: str, here: Place, opened: Place) -> Fault:
    """Convert an error of PyYAML's parser (an unexpected token) to a config error."""
    if "mapping values" in problem:
        hint = "quote text that contains ': ', and give the keys of one mapping the same indentation"
        if match := _TWO_KEYS.fullmatch(_written(here.source)):  # fit: epochs: 3
            hint = f"write {match[1]}: {{{match[2]}}}; text that contains ': ' is quoted"
        return Fault("a ': ' is not expected here", place=here, hint=hint)
    if "expected ':'" in problem:
        missing = "write a space after ':'" if ":" in opened.source else "a key is written 'key: value'"
        return Fault("expected a key, but no ': ' follows", place=opened, hint=missing)
    if "sequence entries" in problem:
        return Fault("a list cannot start here", place=here, hint="start it on a line of its own, or write [a, b]")
    if match := re.match(r"expected (.*), but (?:found|got) '(.*)'$", problem):
        expected, got = match.groups()
        token = _TOKENS.get(got, f"'{got}'")
        if expected.startswith("'<document"):
            return _after_the_end(token, here)
        return _in_block(token, here, opened) if expected == "<block end>" else _in_flow(expected, token, here, opened)
    return Fault(problem, place=here)


def _in_flow(expected: str, token: str, here: Place, opened: Place) -> Fault:
    if expected == "the node content":
        return Fault(f"expected a value, got {token}", place=here, hint=_QUOTE if len(token) == 3 else None)
    if token == _TOKENS["<stream end>"]:
        return Fault(f"the '{_character(opened)}' is never closed", place=opened)
    hint = f"the '{_character(opened)}' was opened at line {opened.line}" if opened.line != here.line else _QUOTE
    return Fault(f"expected {expected}, got {token}", place=here, hint=hint)


def _in_block(token: str, here: Place, opened: Place) -> Fault:
    if token in {"text", "an alias", "an anchor", "'['", "'{'"}:
        return Fault("unexpected text after a complete value", place=here, hint="quote the whole text")
    token = token if token in _TOKENS.values() else "this"
    text = f"{token} does not fit the indentation of the lines above"
    return Fault(text, place=here, hint=f"the block around it starts at line {opened.line}")


def _after_the_end(token: str, here: Place) -> Fault:
    if token == "a key":
        return Fault("a key does not fit the indentation of the lines above", place=here)
    if here.source.startswith("%"):
        return Fault("text cannot start with '%'", place=replace(here, column=1), hint="quote it")
    return Fault("unexpected text after the end of the config", place=here)


def _quoted(problem: str, here: Place, opened: Place) -> Fault:
    if "end of stream" in problem or "document separator" in problem:
        return Fault("the quote is never closed", place=opened)
    hint = r"use single quotes, or write '\\'"
    written = here.source[(opened.column or 1) :].partition('"')[0] if opened.line == here.line else ""
    if is_windows_path(written):
        hint = f"a path is written with '/': {posix_path(written)}"
    if "unknown escape" in problem:
        return Fault(f"unknown escape '\\{_character(here)}': a backslash in double quotes", place=here, hint=hint)
    return Fault("a broken escape: a backslash in double quotes", place=here, hint=hint)


def _character(place: Place) -> str:
    column = (place.column or 1) - 1
    return place.source[column : column + 1]


_WORD = r"[A-Za-z_][\w.]*"
ASSIGNMENT = re.compile(rf"\s*({_WORD})\s*(<-|=)\s*(.+?)\s*")
"""Pattern of a key and a value with the assignment sign of R or Python (`<-`, `=`) between them."""
_HYPHEN = re.compile(rf"(-({_WORD}))(.*)")
"""Pattern of a list item without a space after its hyphen."""
_COMMENT = re.compile(r"\s+#.*")
_ITEM = re.compile(r"^\s*(?:- +)*")
_TWO_KEYS = re.compile(rf"({_WORD}):\s+({_WORD}:\s+.+)")
_MISTAKES = (
    (ASSIGNMENT, r"no ': ' after '\1', but '\2'", r"\1: \3"),
    (_HYPHEN, r"a space is missing after '-' in '\1'", r"- \2\3"),
    (re.compile(rf"({_WORD}):(\S.*)"), r"a space is missing after ':' in '\g<0>'", r"\1: \2"),
    (re.compile(_WORD), r"no ':' follows '\g<0>'", r"\g<0>:"),
    (re.compile(rf"({_WORD})\s+(.+)"), r"no ': ' follows '\1'", r"\1: \2"),
)
"""Known mistakes in a line: its pattern, the error message and the corrected line, as templates of `Match.expand`."""


def repair(source: Source, line: int) -> Fault | None:
    """Return a config error that suggests a correction of a line of YAML, or of the nearest line above.

    `line` (counted from 1) is the line at which the YAML parser stopped. The parser joins a line without a colon with
    the next line, and stops at the colon there. None if neither line has a known mistake.
    """
    number = line - 1
    fault = _fault(source, number)
    while fault is None and number > 0 and _written(source.lines[number := number - 1]) == "":
        pass
    return fault or _fault(source, number)


def unspaced_item(source: Source, first: int, last: int) -> Fault | None:
    """Return a config error for the first list item without a space after its hyphen; None without one.

    The lines `first` to `last` (counted from 1) are searched. The YAML parser reads such an item as a key, and stops at
    the next item of the list.
    """
    lines = (number for number in range(first - 1, last) if _HYPHEN.match(source.lines[number].lstrip()))
    return next((_fault(source, number) for number in lines), None)


def _written(line: str) -> str:
    """Return a line of a config without its comment and surrounding space."""
    return "" if line.lstrip().startswith("#") else _COMMENT.sub("", line).strip()


def _fault(source: Source, number: int) -> Fault | None:
    """Return the config error of a line (`number` counts from 0), with the corrected line as hint; None if no known
    mistake is found."""
    line = source.lines[number]
    written = _ITEM.sub("", line, count=1)
    place = source.spot(number, len(line) - len(written))
    matches = ((pattern.fullmatch(_written(written)), *texts) for pattern, *texts in _MISTAKES)
    faults = (Fault(m.expand(text), place=place, hint=f"write {m.expand(meant)}") for m, text, meant in matches if m)
    return next(faults, None)
