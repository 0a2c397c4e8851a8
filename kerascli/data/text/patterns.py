"""Replace the matches of regular expressions in texts: patterns in Python's syntax, run by Arrow's RE2 in linear time.

RE2 knows the classes `\\w \\d \\s \\b` of ASCII alone, and other cases of letters. So each set of characters becomes
the code points that Python's `re` finds for it, and texts are encoded where `\\b` must know the letters of Unicode.
"""

import re
import warnings
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from kerascli.data.storage.column import pa, pc
from kerascli.foundation.disk.files import memory_limit
from kerascli.language.component import Invalid

MAX_CHARACTERS = 10_000
"""Maximum length of a regular expression, or of its replacement, in characters."""
_MAX_COUNT = 1_000
"""Largest count of repetitions in RE2."""
_MAX_GROUP = 9
"""Largest number of a group in RE2's replacements."""
_LINEAR = "patterns run in linear time (RE2)"
"""Reason for which messages refuse what other engines can match."""

_WORD = "Z"
"""ASCII letter put before and after other letters: between it and what is no letter RE2 sees a word's end."""
_LETTER = "\ufdd0"
"""Character, which no text uses, in place of that letter."""

_TOKEN = re.compile(
    r"""
    (?P<skipped>\(\?(?:[aimsu]+|\#[^)]*)\))
    | (?P<refused>\(\?(?:P=|<[=!]|[=!>(]|[aimsux-]+[:)])|\\[1-9](?![0-7]{2})|\\[89])
    | (?P<open>\((?:\?:|\?P<[^>]*>)?)
    | (?P<close>\))
    | (?P<bar>\|)
    | (?P<count>(?:[*+?]|\{(?!\})(?P<least>[0-9]*)(?:,(?P<most>[0-9]*))?\})(?P<mode>[+?]?))
    | (?P<place>[\^$]|\\[AZbB])
    | (?P<characters>\[\^?\]?(?:\\.|[^\]\\])*\]|\\(?:0[0-7]{0,2}|[0-7]{3}|x..|u.{4}|U.{8}|N\{[^}]*\}|.)|.)
    """,
    re.DOTALL | re.VERBOSE,
)
"""Pattern of the next token of a regular expression that `re` has compiled."""
_REFUSED = {
    "(?=": "look-ahead", "(?!": "look-ahead", "(?<": "look-behind", "(?>": "an atomic group",
    "(?(": "a conditional group", "(?P": "a back-reference", "(?": "a flag of a part of the pattern, or the flag x,",
}  # fmt: skip
"""Mapping from the beginning of a token that is refused to what it is called; others are back-references."""
_AROUND = r"match what is around, too, in a group that the rewrite puts back: (\w)'s with \1 is"
_WRITTEN_OUT = "write it out, with | and ?; flags at the beginning, for the whole pattern: (?i)"
_EMPTY = "(?:|x)"
"""Outline of a group that can match the empty text."""


class Characters(NamedTuple):
    """Part of a pattern that matches one character (`a`, `\\w`, `[^a-z]`, `.`), as written, with the flags there."""

    text: str
    flags: int


@lru_cache(maxsize=16)
def _mask(text: str, flags: int) -> np.ndarray:
    """Return a boolean array of the code points that a part of a pattern matches."""
    mask = np.zeros(0x110000, bool)
    if re.fullmatch(r"\\[^\w]|[^.\[\\]", text, re.ASCII) and not flags & re.IGNORECASE:
        mask[ord(text[-1])] = True
        return mask
    with warnings.catch_warnings():  # they have been shown for the whole pattern
        warnings.simplefilter("ignore", FutureWarning)
        for run in re.finditer(f"(?:{text})+", _all_characters(), flags):
            mask[run.start() : run.end()] = True
    mask[0xD800:0xE000] = False  # surrogates: no text has them
    return mask


@lru_cache(maxsize=1)
def _all_characters() -> str:
    return "".join(map(chr, range(0x110000)))


class Pattern:
    """Regular expression in Python's syntax, as the parts of one in RE2's. Raises Invalid for what RE2 lacks, or would
    replace in another way."""

    def __init__(self, text: str) -> None:
        compiled = _compiled(text)
        self.groups = compiled.groups
        self.names = {number: name for name, number in compiled.groupindex.items()}
        self.has_words = False
        """True if \\b or \\B is there, between letters of Unicode."""
        self._flags = compiled.flags
        self.parts: list[str | Characters] = ["(?m)"] if self._flags & re.MULTILINE else []
        self._outlines = [""]
        """The pattern, and the groups that are open, with x for each character and nothing for places."""
        for token in _TOKEN.finditer(text):
            self._add(token)
        if self._can_be_empty():
            raise _refused("a match of the empty text", "write it so that it matches at least one character: x+ for x*")

    def _can_be_empty(self) -> bool:
        return re.match(self._outlines[-1], "") is not None

    def _add(self, token: re.Match[str]) -> None:
        written = token[0]
        match token.lastgroup:
            case "refused":
                what = _REFUSED.get(written[:3]) or _REFUSED.get(written[:2], "a back-reference")
                raise _refused(what, _AROUND if what.startswith("look") else _WRITTEN_OUT, token)
            case "open":
                self.parts.append("(?:" if written == "(?:" else "(")
                self._outlines.append("")
            case "close":
                inner = _EMPTY if self._can_be_empty() else "x"
                self._outlines.pop()
                self._outlines[-1] += inner
                self.parts.append(written)
            case "bar":
                self._outlines[-1] += written
                self.parts.append(written)
            case "count":
                self._add_count(token)
            case "place":
                self._add_place(token)
            case "characters":
                self._outlines[-1] += "x"
                self.parts.append(Characters(written, self._flags & (re.ASCII | re.IGNORECASE | re.DOTALL)))

    def _add_count(self, token: re.Match[str]) -> None:
        written = token[0]
        if token["mode"] == "+":
            raise _refused(f"the possessive {written}", f"write {written[:-1]}", token)
        if max(int(token["least"] or 0), int(token["most"] or 0)) > _MAX_COUNT:
            raise _refused(f"more than {_MAX_COUNT:,} repetitions ({written})", "write * or +", token)
        if self._outlines[-1].endswith(_EMPTY) and written[0] != "?":
            raise _refused(f"a repetition ({written}) of what matches the empty text", "write a* for (a*)*", token)
        self._outlines[-1] += written
        self.parts.append(written.replace("{,", "{0,"))

    def _add_place(self, token: re.Match[str]) -> None:
        written = token[0]
        if written == "$" and not self._flags & re.MULTILINE:
            hint = r"write \Z for the end of the text, (?m) at the beginning for the ends of its lines"
            raise _refused("$, which also matches before a line feed at the end,", hint, token)
        self.has_words |= written in r"\b \B" and not self._flags & re.ASCII
        self.parts.append(r"\z" if written == r"\Z" else written)


def _refused(what: str, hint: str, token: re.Match[str] | None = None) -> Invalid:
    place = "" if token is None else f" at position {token.start()}"
    return Invalid(f"pattern: {what}{place} is not possible: {_LINEAR}", hint=hint)


def _compiled(pattern: str) -> re.Pattern[str]:
    if len(pattern) > MAX_CHARACTERS:
        raise ValueError(f"a regular expression of {len(pattern):,} characters; the limit is {MAX_CHARACTERS:,}")
    try:
        return re.compile(pattern)
    except RecursionError:
        raise ValueError("invalid regular expression: nested too deeply") from None
    except (re.error, OverflowError) as error:
        raise ValueError(f"invalid regular expression: {error}") from None


class Replacement:
    """Callable that replaces the matches of a pattern in texts. Raises Invalid for a rewrite that RE2 lacks,
    ValueError for one that Python's `re` refuses."""

    def __init__(self, pattern: Pattern, rewrite: str) -> None:
        self._pattern = pattern
        rewrite = _expanded(pattern, rewrite)
        self._rewrite = rewrite.replace(_WORD, _LETTER) if pattern.has_words else rewrite

    def __call__(self, texts: "pa.Array") -> "pa.Array":
        """Return texts with the matches replaced.

        Raises ValueError for a pattern or results too large for memory, and for a text with U+FDD0 where it stands for
        another character.
        """
        encoded = self._encoded(texts.cast(pa.large_string()))
        try:
            self._check_size(encoded)
            replaced = pc.replace_substring_regex(encoded, pattern=self._in_re2, replacement=self._rewrite)
        except pa.ArrowInvalid as error:
            raise ValueError(f"pattern: {str(error)[:1].lower()}{str(error)[1:]}") from None
        return self._decoded(replaced).cast(texts.type)

    @cached_property
    def _in_re2(self) -> str:
        return "".join(part if isinstance(part, str) else self._rendered(part) for part in self._pattern.parts)

    def _rendered(self, part: Characters) -> str:
        """Return a set of characters in RE2's syntax, of encoded texts."""
        mask = _mask(*part)
        if not self._pattern.has_words:
            return _in_brackets(mask)
        mask = mask.copy()
        mask[ord(_LETTER)], mask[ord(_WORD)] = mask[ord(_WORD)], False
        letters = _letters()
        return f"(?:{_in_brackets(mask & ~letters)}|{_WORD}{_in_brackets(mask & letters)}{_WORD})"

    def _encoded(self, texts: "pa.Array") -> "pa.Array":
        if not self._pattern.has_words:
            return texts
        if pc.any(pc.match_substring(texts, _LETTER)).as_py():
            raise ValueError(r"pattern: a text has the character U+FDD0, which none may have where \b or \B is")
        texts = pc.replace_substring(texts, pattern=_WORD, replacement=_LETTER)
        return pc.replace_substring_regex(texts, pattern=_in_brackets(_letters()), replacement=rf"{_WORD}\0{_WORD}")

    def _decoded(self, texts: "pa.Array") -> "pa.Array":
        if not self._pattern.has_words:
            return texts
        texts = pc.replace_substring(texts, pattern=_WORD, replacement="")
        return pc.replace_substring(texts, pattern=_LETTER, replacement=_WORD)

    def _check_size(self, texts: "pa.Array") -> None:
        """Raise ValueError if texts may exceed the memory after their replacements."""
        size, groups = len(self._rewrite.encode()), len(re.findall(r"\\[0-9]", self._rewrite))
        before = pc.sum(pc.binary_length(texts)).as_py() or 0
        if before * (1 + groups + size) <= memory_limit():
            return
        matches = pc.sum(pc.count_substring_regex(texts, pattern=self._in_re2)).as_py()
        if before * (1 + groups) + matches * size > memory_limit():
            raise ValueError(f"rewrite: {matches:,} replacements in these texts need too much memory")


def _expanded(pattern: Pattern, rewrite: str) -> str:
    r"""Return a replacement with its groups as RE2 writes them (\0, \1), its other characters as they are."""
    marks = [chr(0xD800 + min(group, _MAX_GROUP + 1)) for group in range(1 + pattern.groups)]  # no text has these
    names = {group: f"?P<{name}>" for group, name in pattern.names.items()}
    groups = (f"({names.get(group, '')}{mark})" if group else mark for group, mark in enumerate(marks))
    match = re.match("".join(groups), "".join(marks))
    assert match is not None
    try:
        text = match.expand(rewrite)
    except (re.error, IndexError) as error:
        raise ValueError(str(error)) from None
    text = text.replace("\\", r"\\").replace("".join(marks), r"\0")
    for group, mark in enumerate(marks[: _MAX_GROUP + 1]):
        text = text.replace(mark, f"\\{group}")
    if any(mark in text for mark in marks):
        what = f"rewrite: a reference to a group above {_MAX_GROUP} is not possible: {_LINEAR}"
        raise Invalid(what, hint="write (?:...) for groups that the rewrite does not name")
    return text


@lru_cache(maxsize=1)
def _letters() -> np.ndarray:
    """Return a mask of the characters that are put between two ASCII letters: letters and digits that are not ASCII."""
    mask = _mask(r"\w", 0).copy()
    mask[:0x80] = False
    mask[ord(_LETTER)] = True
    return mask


def _in_brackets(mask: np.ndarray) -> str:
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0)).reshape(-1, 2).tolist()
    ranges = "".join(rf"\x{{{first:x}}}-\x{{{end - 1:x}}}" for first, end in edges)
    return f"[{ranges}]" if ranges else r"[^\x{0}-\x{10ffff}]"
