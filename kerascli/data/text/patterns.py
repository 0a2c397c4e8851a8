"""Translate regular expressions from Python's syntax to that of RE2, which Arrow runs in linear time.

RE2 knows the classes `\\w \\d \\s \\b` of ASCII alone, and other cases of letters. So each set of characters, with its
flags, becomes the code points that Python's `re` finds for it; `replacements` has the rest.
"""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, NoReturn

from kerascli.language.component import Invalid

MAX_CHARACTERS = 10_000
"""Maximum length of a regular expression, or of its replacement, in characters."""
_MAX_COUNT = 1_000
"""Largest count of repetitions in RE2, and largest product of counts of nested ones."""

LINEAR = "patterns run in linear time (RE2)"
"""Reason for which messages refuse what other engines can match."""

_SYNTAX = r"""
    (?P<comment>\(\?\#[^)]*\)COMMENT)
    | (?P<flags>\(\?(?P<on>[aiLmsux]*)(?:-(?P<off>[imsx]+))?(?P<end>[:)]))
    | (?P<refused>\(\?(?:<[=!]|P=|[=!>(])|\\[1-9](?![0-7]{2})|\\[89])
    | (?P<group>\((?:\?P<[^>]*>)?)
    | (?P<close>\))
    | (?P<bar>\|)
    | (?P<count>(?P<times>[*+?]|\{(?!\})(?P<least>[0-9]*)(?P<comma>,(?P<most>[0-9]*))?\})(?P<mode>[+?]?))
    | (?P<place>[\^$]|\\[AZzbB])
    | (?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])
    | (?P<literal>\\(?:0[0-7]{0,2}|[0-7]{3}|x..|u.{4}|U.{8}|N\{[^}]*\}|.)|.)
"""
_TOKEN, _VERBOSE_TOKEN = (
    re.compile(_SYNTAX.replace("COMMENT", comment), re.DOTALL | re.VERBOSE)
    for comment in ("", r"|[ \t\n\r\f\v]|\#[^\n]*")
)
"""Patterns of the next token of a regular expression that `re` has compiled; without and with the flag x."""
_REFUSED = {
    "(?=": "look-ahead", "(?!": "look-ahead", "(?<=": "look-behind", "(?<!": "look-behind", "(?>": "an atomic group",
    "(?(": "a conditional group",
}  # fmt: skip
_AROUND = r"match what is around, too, in a group that the rewrite puts back: (\w)'s with \1 is"
_HINTS = {
    "look-ahead": _AROUND,
    "look-behind": _AROUND,
    "a back-reference": "write the text itself, or the alternatives",
}
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


class Fragment(NamedTuple):
    """Translated stretch of a pattern, and the lengths of texts that it matches."""

    parts: Sequence[str | CharacterSet]
    empty: bool = True
    """True if it can match the empty text."""
    filled: bool = False
    """True if it can match other texts."""
    times: int = 1
    """Largest product of the counts of nested repetitions."""


@dataclass(frozen=True)
class Group:
    """Group of a pattern, or the whole, with the flags in it, and its alternatives, each of fragments in sequence."""

    opening: str
    flags: int
    alternatives: list[list[Fragment]] = field(default_factory=lambda: [[]])

    def joined(self) -> Fragment:
        """Return the group as one fragment."""
        parts: list[str | CharacterSet] = []
        for sequence in self.alternatives:
            parts += ["|" if parts else self.opening, *(part for each in sequence for part in each.parts)]
        items = [each for sequence in self.alternatives for each in sequence]
        return Fragment(
            [*parts, ")"] if self.opening else parts,
            any(all(each.empty for each in sequence) for sequence in self.alternatives),
            any(each.filled for each in items),
            max((each.times for each in items), default=1),
        )


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
        whole = self._parsed(compiled.flags)
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
        raise Invalid(f"pattern: {what}{place} is not possible: {LINEAR}", hint=hint)

    def _parsed(self, flags: int) -> Fragment:
        groups, at = [Group("", flags)], 0
        while at < len(self.text):
            flags, sequence = groups[-1].flags, groups[-1].alternatives[-1]
            token = (_VERBOSE_TOKEN if flags & re.VERBOSE else _TOKEN).match(self.text, at)
            assert token is not None  # it has been compiled
            start, at = at, token.end()
            match token.lastgroup:
                case "bar":
                    groups[-1].alternatives.append([])
                case "close":
                    closed = groups.pop().joined()
                    groups[-1].alternatives[-1].append(closed)
                case "count":
                    sequence[-1] = self._counted(sequence[-1], token, start)
                case "flags" if token["end"] == ":":
                    groups.append(Group("(?:", _changed(flags, token)))
                case "group":
                    groups.append(Group("(", flags))
                case "refused":
                    what = _REFUSED.get(token[0], "a back-reference")
                    self._refuse(what, _HINTS.get(what, "write it with | and ?"), start)
                case "place":
                    sequence.append(self._place(token[0], flags))
                case "set" | "literal":
                    flags &= re.ASCII | re.IGNORECASE | re.DOTALL
                    sequence.append(Fragment([CharacterSet(token[0], flags)], False, True))
        return groups[0].joined()

    def _place(self, written: str, flags: int) -> Fragment:
        if written in "^$":
            of_lines = bool(flags & re.MULTILINE)
            self._has_lines |= of_lines
            self.has_end |= written == "$" and not of_lines
            return Fragment([f"(?m:{written})" if of_lines or written == "$" else r"\A"])
        if written in r"\b \B":
            self.word_flags.add(flags & re.ASCII)
        return Fragment([r"\z" if written == r"\Z" else written])

    def _counted(self, item: Fragment, count: re.Match[str], at: int) -> Fragment:
        written, times = count["times"], item.times
        if count["mode"] == "+":
            self._refuse(f"the possessive {written}+", f"write {written}", at)
        if written in "*+?":
            least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[written]
        else:
            least = int(count["least"] or 0)
            most = (int(count["most"]) if count["most"] else None) if count["comma"] else least
            times *= max(1, least if most is None else most)
        if times > _MAX_COUNT:
            self._refuse(f"more than {_MAX_COUNT:,} repetitions ({written})", "write * or +, or a smaller count", at)
        if item.empty and most != 1:
            self._refuse(f"a repetition ({written}) of what matches the empty text", _NESTED, at)
        in_re2 = written if written in "*+?" else f"{{{least},{'' if most is None else most}}}"
        return Fragment([*item.parts, in_re2, count["mode"]], item.empty or not least, item.filled and most != 0, times)


def _changed(flags: int, group: re.Match[str]) -> int:
    """Return the flags in a group: `(?i:` or `(?s-i:`."""
    for letter in group["on"]:
        flags |= re.RegexFlag[letter.upper()]
    for letter in (group["off"] or "") + "a" * ("u" in group["on"]):
        flags &= ~re.RegexFlag[letter.upper()]
    return flags


def _compiled(pattern: str) -> re.Pattern[str]:
    if len(pattern) > MAX_CHARACTERS:
        raise ValueError(f"a regular expression of {len(pattern):,} characters; the limit is {MAX_CHARACTERS:,}")
    try:
        return re.compile(pattern)
    except RecursionError:
        raise ValueError("invalid regular expression: nested too deeply") from None
    except (re.error, OverflowError) as error:
        raise ValueError(f"invalid regular expression: {error}") from None
