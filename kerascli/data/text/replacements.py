"""Replace the matches of regular expressions in texts: patterns of Python's `re`, run by Arrow's RE2 in linear time.

Two of Python's places look at characters that RE2 cannot look at: `$` also matches before a line feed at the end, and
`\\b` between characters of Unicode. Their texts are encoded, so that RE2's places are Python's, and decoded afterwards.
"""

import re
from functools import cached_property, lru_cache

import numpy as np

from kerascli.data.storage.column import pa, pc
from kerascli.data.storage.table import BadRow
from kerascli.data.text.patterns import LINEAR, CharacterSet, Pattern
from kerascli.foundation.errors import safe_text
from kerascli.language.component import Invalid

MAX_BYTES = 2 * 2**30
"""Limit of the length of one text after its replacements, in bytes."""
_MAX_GROUP = 9
"""Largest number of a group in RE2's replacements."""

_WORD = "Z"
"""ASCII letter put before and after other letters: between it and what is no letter RE2 sees a word's end."""
_LETTER, _LINE_FEED = "\ufdd0", "\ufdd1"
"""Characters, which no text uses, in place of that letter and of line feeds other than at a text's end."""


class Replacement:
    """Callable that replaces the matches of a pattern in texts. Raises Invalid for a rewrite that RE2 lacks,
    ValueError for one that Python's `re` refuses."""

    def __init__(self, pattern: Pattern, rewrite: str) -> None:
        self._pattern = pattern
        self._words = 0 in pattern.word_flags
        self._lines = pattern.has_end
        rewrite = _expanded(pattern, rewrite)
        rewrite = rewrite.replace(_WORD, _LETTER) if self._words else rewrite
        self._rewrite = rewrite.replace("\n", _LINE_FEED) if self._lines else rewrite

    def __call__(self, texts: "pa.Array") -> "pa.Array":
        """Return texts with the matches replaced. Raises BadRow, and ValueError for a pattern too large for RE2."""
        encoded = self._encoded(texts.cast(pa.large_string()))
        try:
            self._check_size(encoded)
            replaced = pc.replace_substring_regex(encoded, pattern=self._in_re2, replacement=self._rewrite)
            return self._decoded(replaced).cast(texts.type)
        except pa.ArrowInvalid as error:
            raise ValueError(f"pattern: {str(error)[:1].lower()}{str(error)[1:]}") from None

    @cached_property
    def _in_re2(self) -> str:
        return "".join(part if isinstance(part, str) else self._rendered(part) for part in self._pattern.parts)

    def _encoded(self, texts: "pa.Array") -> "pa.Array":
        if self._words or self._lines:
            used = pc.match_substring_regex(texts, pattern=f"[{_LETTER}{_LINE_FEED}]")
            if (row := pc.index(used, True).as_py()) >= 0:
                text = "has the character U+FDD0 or U+FDD1, which no text may have where the pattern has \\b or $"
                raise BadRow(row, text, setting="pattern")
        if self._words:
            texts = pc.replace_substring(texts, pattern=_WORD, replacement=_LETTER)
            letters = _in_brackets(_letters())
            texts = pc.replace_substring_regex(texts, pattern=letters, replacement=rf"{_WORD}\0{_WORD}")
        if self._lines:
            texts = pc.replace_substring(texts, pattern="\n", replacement=_LINE_FEED)
            texts = pc.replace_substring_regex(texts, pattern=rf"{_LINE_FEED}\z", replacement="\n")
        return texts

    def _decoded(self, texts: "pa.Array") -> "pa.Array":
        if self._lines:
            texts = pc.replace_substring(texts, pattern=_LINE_FEED, replacement="\n")
        if self._words:
            texts = pc.replace_substring(texts, pattern=_WORD, replacement="")
            texts = pc.replace_substring(texts, pattern=_LETTER, replacement=_WORD)
        return texts

    def _rendered(self, part: CharacterSet) -> str:
        """Return a set of characters in RE2's syntax, of encoded texts."""
        mask = _mask(part)
        if self._lines:
            mask[ord(_LINE_FEED)] = mask[ord("\n")]
        if not self._words:
            return _in_brackets(mask)
        mask[ord(_LETTER)] = mask[ord(_WORD)]
        mask[ord(_WORD)] = False
        letters = _letters()
        return f"(?:{_in_brackets(mask & ~letters)}|{_WORD}{_in_brackets(mask & letters)}{_WORD})"

    def _check_size(self, texts: "pa.Array") -> None:
        """Raise BadRow for a text that is longer than MAX_BYTES after its replacements."""
        sizes = pc.binary_length(texts)
        size, groups = len(self._rewrite.encode()), len(re.findall(r"\\[0-9]", self._rewrite))
        if ((pc.max(sizes).as_py() or 0) + 1) * (1 + size + groups) <= MAX_BYTES:
            return
        counts = pc.count_substring_regex(texts, pattern=self._in_re2)
        after = pc.add(pc.multiply(sizes, 1 + groups), pc.multiply(counts, size))
        if (row := pc.index(pc.greater(after, MAX_BYTES), True).as_py()) >= 0:
            shown = safe_text(self._pattern.text, 40)
            raise BadRow(row, f"the replacement of '{shown}' in this text needs too much memory", setting="rewrite")


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
        what = f"rewrite: a reference to a group above {_MAX_GROUP} is not possible: {LINEAR}"
        raise Invalid(what, hint="write (?:...) for groups that the rewrite does not name")
    return text


def _mask(part: CharacterSet) -> np.ndarray:
    mask = np.zeros(0x110000, bool)
    for first, last in part.ranges():
        mask[first : last + 1] = True
    mask[0xD800:0xE000] = False  # surrogates: no text has them
    return mask


@lru_cache(maxsize=1)
def _letters() -> np.ndarray:
    """Return a mask of the characters that are put between two ASCII letters: letters and digits that are not ASCII."""
    mask = _mask(CharacterSet(r"\w", 0))
    mask[:0x80] = False
    mask[ord(_LETTER)] = True
    return mask


def _in_brackets(mask: np.ndarray) -> str:
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0)).reshape(-1, 2).tolist()
    ranges = "".join(rf"\x{{{first:x}}}-\x{{{end - 1:x}}}" for first, end in edges)
    return f"[{ranges}]" if ranges else r"[^\x{0}-\x{10ffff}]"
