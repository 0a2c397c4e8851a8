"""Translate regular expressions from Python's syntax to that of RE2, which Arrow runs in linear time.

RE2 knows the classes `\\w \\d \\s \\b` of ASCII alone, and other cases of letters. So each set of characters, with its
flags, becomes the code points that Python's `re` finds for it; `replacements` has the rest.
"""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, NoReturn

from kerascli.foundation.errors import Fault
from kerascli.language.component import Invalid

MAX_CHARACTERS = 10_000
"""Maximum length of a regular expression, or of its replacement, in characters."""
_MAX_COUNT = 1_000
"""Largest count of repetitions in RE2, and largest product of counts of nested ones."""

LINEAR = "patterns run in linear time (RE2)"
"""Reason for which messages refuse what other engines can match."""

_LITERAL = re.compile(r"\\(?:0[0-7]{0,2}|[0-7]{3}|x..|u.{4}|U.{8}|N\{[^}]*\}|.)|.", re.DOTALL)
_SET = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_COUNT = re.compile(r"[*+?]|\{(?!\})([0-9]*)(?:(,)([0-9]*))?\}")
_FLAGS = re.compile(r"\(\?([aiLmsux]*)(?:-([imsx]+))?([:)])")
_COMMENT, _VERBOSE_COMMENT = re.compile(r"\(\?#[^)]*\)"), re.compile(r"\(\?#[^)]*\)|\s|#[^\n]*", re.ASCII)
_REFUSED = {
    "(?=": "look-ahead", "(?!": "look-ahead", "(?<=": "look-behind", "(?<!": "look-behind", "(?>": "an atomic group",
    "(?(": "a conditional group", "(?P=": "a back-reference",
}  # fmt: skip
_AROUND = r"match what is around, too, in a group that the rewrite puts back: (\w)'s with \1 is"
_NESTED = "repeats in what is repeated have no effect: a+ matches what (a+)+ does"


class CharacterSet(NamedTuple):
    """Part of a pattern that matches one character (`a`, `\\w`, `[^a-z]`, `.`), as written, with the flags there."""

    text: str
    flags: int

    def ranges(self) -> tuple[tuple[int, int], ...]:
        """Return the code points that the set matches, as ranges with both ends included."""
        character = self.text.removeprefix("\\") if re.fullmatch(r"\\[^\w]|[^.\[\\]", self.text, re.ASCII) else ""
        if character and not self.flags & re.IGNORECASE:
            return ((ord(character), ord(character)),)
        return _ranges(self.text if len(self.text) > 1 or self.text == "." else re.escape(self.text), self.flags)


@lru_cache(maxsize=512)
def _ranges(text: str, flags: int) -> tuple[tuple[int, int], ...]:
    with warnings.catch_warnings():  # they have been shown for the whole pattern
        warnings.simplefilter("ignore", FutureWarning)
        runs = re.finditer(f"(?:{text})+", _all_characters(), flags)
    return tuple((run.start(), run.end() - 1) for run in runs)


@lru_cache(maxsize=1)
def _all_characters() -> str:
    return "".join(map(chr, range(0x110000)))


@dataclass
class Fragment:
    """Translated stretch of a pattern, and the lengths of texts that it matches."""

    parts: list[str | CharacterSet] = field(default_factory=list)
    empty: bool = True
    """True if it can match the empty text."""
    filled: bool = False
    """True if it can match other texts."""
    times: int = 1
    """Largest product of the counts of nested repetitions."""

    def add(self, other: "Fragment", between: str = "") -> None:
        """Append what follows in the pattern, or, after the separator `|`, an alternative."""
        self.parts += [between, *other.parts]
        self.empty = self.empty or other.empty if between else self.empty and other.empty
        self.filled |= other.filled
        self.times = max(self.times, other.times)


class Pattern:
    """Regular expression in Python's syntax, parsed to the parts of one of RE2. Raises Invalid for what RE2 lacks."""

    def __init__(self, text: str) -> None:
        compiled = _compiled(text)
        self.text = text
        self.groups = compiled.groups
        self.names = {number: name for name, number in compiled.groupindex.items()}
        self.word_flags: set[int] = set()
        """Flags at each \\b and \\B: ASCII, or 0."""
        self.has_end = False
        """True if it has a `$` that matches at the end of the text, or before the line feed there."""
        self._has_lines = False
        self._at = 0
        self._flags = compiled.flags
        whole = self._alternatives()
        self.parts = whole.parts
        self._check(whole)

    def _check(self, whole: Fragment) -> None:
        """Raise Invalid for what would give other replacements than Python's `re`."""
        if whole.empty and whole.filled:
            hint = "write it so that it matches at least one character: x+ for x*"
            self._refuse("a match of the empty text as well as of others", hint)
        if whole.empty and self.word_flags:
            self._refuse(r"\b or \B in a match of the empty text", r"match a character beside it: \b(\w)")
        if len(self.word_flags) > 1:
            self._refuse(r"\b both with and without the flag a", "write (?a) at the beginning, for the whole pattern")
        if self.has_end and self._has_lines:
            self._refuse("$ or ^ both with and without the flag m", r"write \A or \Z for the text's beginning or end")

    def _refuse(self, what: str, hint: str, at: int | None = None) -> NoReturn:
        place = "" if at is None else f" at position {at}"
        raise Invalid([Fault(f"pattern: {what}{place} is not possible: {LINEAR}", (), hint=hint)])

    def _alternatives(self) -> Fragment:
        whole = self._sequence()
        while self.text.startswith("|", self._at):
            self._at += 1
            whole.add(self._sequence(), "|")
        return whole

    def _sequence(self) -> Fragment:
        whole = Fragment()
        for each in self._repeated():
            whole.add(each)
        return whole

    def _skip_comments(self) -> None:
        syntax = _VERBOSE_COMMENT if self._flags & re.VERBOSE else _COMMENT
        while comment := syntax.match(self.text, self._at):
            self._at = comment.end()

    def _repeated(self) -> Iterator[Fragment]:
        """Yield the items of a sequence, each with its repetition."""
        while (item := self._item()) is not None:
            self._skip_comments()
            start = self._at
            if not (count := _COUNT.match(self.text, start)):
                yield item
                continue
            self._at = count.end()
            mode = self.text[self._at : self._at + 1]
            if mode == "+":
                self._refuse(f"the possessive {count[0]}+", f"write {count[0]}", start)
            self._at += mode == "?"
            yield self._counted(item, count, "?" if mode == "?" else "", start)

    def _counted(self, item: Fragment, count: re.Match[str], lazy: str, at: int) -> Fragment:
        if count[0] in "*+?":
            least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[count[0]]
            written = count[0]
        else:
            least = int(count[1] or 0)
            most = (int(count[3]) if count[3] else None) if count[2] else least
            written = f"{{{least},{'' if most is None else most}}}"
            item.times *= max(1, least if most is None else most)
        if item.times > _MAX_COUNT:
            self._refuse(f"more than {_MAX_COUNT:,} repetitions ({count[0]})", "write * or +, or a smaller count", at)
        if item.empty and most != 1:
            self._refuse(f"a repetition ({count[0]}) of what matches the empty text", _NESTED, at)
        return Fragment([*item.parts, written, lazy], item.empty or not least, item.filled and most != 0, item.times)

    def _item(self) -> Fragment | None:
        """Return the next item (a character, set, group or place) at the current position; None at the end of a
        sequence."""
        self._skip_comments()
        start, character = self._at, self.text[self._at : self._at + 1]
        if character in ("", "|", ")"):
            return None
        if character == "(":
            return self._group()
        if character == "[":
            return self._characters(_SET)
        if character in ("^", "$"):
            self._at += 1
            of_lines = bool(self._flags & re.MULTILINE)
            self._has_lines |= of_lines
            self.has_end |= character == "$" and not of_lines
            return Fragment([f"(?m:{character})" if of_lines or character == "$" else r"\A"])
        escaped = self.text[start + 1 : start + 2] if character == "\\" else ""
        if escaped in ("A", "Z", "z", "b", "B"):
            self._at += 2
            if escaped in "bB":
                self.word_flags.add(self._flags & re.ASCII)
            return Fragment([{"Z": r"\z"}.get(escaped, f"\\{escaped}")])
        if re.match(r"\\[1-9](?![0-7]{2})|\\[89]", self.text[start : start + 4]):
            self._refuse("a back-reference", "write the text itself, or the alternatives", start)
        return self._characters(_LITERAL)

    def _characters(self, syntax: re.Pattern[str]) -> Fragment:
        match = syntax.match(self.text, self._at)
        assert match is not None  # it has been compiled
        self._at = match.end()
        flags = self._flags & (re.ASCII | re.IGNORECASE | re.DOTALL)
        return Fragment([CharacterSet(match[0], flags)], False, True)

    def _group(self) -> Fragment:
        start = self._at
        opening = re.match(r"\(\?(?:<[=!]|P[<=]|[=!>(:])|\(", self.text[start : start + 4])
        flags = _FLAGS.match(self.text, start)
        if flags and flags[3] == ")":  # global: of the whole pattern
            self._at = flags.end()
            return Fragment()
        outside = self._flags
        if flags:
            self._change(flags)
        assert flags or opening
        kind = "(?:" if flags else opening[0] if opening else ""
        if kind in _REFUSED:
            self._refuse(_REFUSED[kind], _AROUND if "look" in _REFUSED[kind] else "write it with | and ?", start)
        self._at = flags.end() if flags else self.text.index(">", start) + 1 if kind == "(?P<" else start + len(kind)
        inside = self._alternatives()
        self._at += 1
        self._flags = outside
        inside.parts = ["(" if kind == "(?P<" else kind, *inside.parts, ")"]
        return inside

    def _change(self, flags: re.Match[str]) -> None:
        """Set the flags of a group: `(?i:` or `(?s-i:`."""
        for letter in flags[1]:
            self._flags |= re.RegexFlag[letter.upper()]
        for letter in (flags[2] or "") + "a" * ("u" in flags[1]):
            self._flags &= ~re.RegexFlag[letter.upper()]


def _compiled(pattern: str) -> re.Pattern[str]:
    if len(pattern) > MAX_CHARACTERS:
        raise ValueError(f"a regular expression of {len(pattern):,} characters; the limit is {MAX_CHARACTERS:,}")
    try:
        return re.compile(pattern)
    except RecursionError:
        raise ValueError("invalid regular expression: nested too deeply") from None
    except (re.error, OverflowError) as error:
        raise ValueError(f"invalid regular expression: {error}") from None
