"""Standardization and splitting of texts, on the bytes of Arrow arrays: lower case and whitespace are ASCII's."""

import string
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from kerascli.data.storage.column import pa, pc
from kerascli.foundation import interrupts

_BLOCK_BYTES = 2**20
"""Bytes of text that are split at once, which fit in the cache."""
_LOWER = bytes.maketrans(string.ascii_uppercase.encode(), string.ascii_lowercase.encode())
_PUNCTUATION, _SPACES = string.punctuation.encode(), string.whitespace.encode()
_IS_PUNCTUATION, _IS_SPACE = (bytes(byte in each for byte in range(256)) for each in (_PUNCTUATION, _SPACES))


class Tokenizer(NamedTuple):
    """Settings by which texts become tokens, as `text_vectorization` describes them."""

    standardize: Literal["lower_and_strip_punctuation", "lower", "strip_punctuation"] | None
    split: Literal["whitespace", "character"] | None
    widths: Sequence[int]
    """Numbers of tokens that are joined to ngrams; empty: tokens stay single."""

    def tokens(self, texts: "pa.Array") -> Iterator[tuple["pa.Array", np.ndarray]]:
        """Yield the tokens of texts in order, and the number of tokens of each text, in blocks of texts."""
        if not len(texts):
            return
        texts = texts.cast(pa.large_string())
        _, ends, data = texts.buffers()
        offsets = np.frombuffer(ends, np.int64)[texts.offset : texts.offset + len(texts) + 1]
        first = 0
        while first < len(texts):
            interrupts.check()
            most = np.searchsorted(offsets, offsets[first] + _BLOCK_BYTES, "right") - 1
            last = max(first + 1, int(most))
            text = b"" if data is None else data[int(offsets[first]) : int(offsets[last])].to_pybytes()
            tokens, counts = self._split(text, offsets[first : last + 1] - offsets[first])
            yield _ngrams(tokens, counts, self.widths) if self.widths else (tokens, counts)
            first = last

    def _split(self, text: bytes, offsets: np.ndarray) -> tuple["pa.Array", np.ndarray]:
        """Return the tokens of texts, which lie between offsets in `text`, and their number in each text."""
        standardize = self.standardize or ""
        if "strip_punctuation" in standardize:
            offsets = offsets - np.searchsorted(_places(text, _IS_PUNCTUATION), offsets)
            text = text.translate(None, _PUNCTUATION)
        if "lower" in standardize:
            text = text.translate(_LOWER)
        if self.split is None:
            return _strings(text, offsets), np.ones(len(offsets) - 1, np.int64)
        data = np.frombuffer(text, np.uint8)
        if self.split == "character":
            starts = np.flatnonzero((data & 0xC0) != 0x80)  # the first byte of a character in UTF-8
            ends = np.append(starts, len(text))
        else:
            is_space = np.frombuffer(text.translate(_IS_SPACE), np.bool_)
            is_first = np.concatenate([[True], is_space])[:-1]
            is_first[offsets[:-1][offsets[:-1] < len(text)]] = True
            starts = np.flatnonzero(is_first & ~is_space)
            text = text.translate(None, _SPACES)
            ends = np.append(starts - np.searchsorted(np.flatnonzero(is_space), starts), len(text))
        return _strings(text, ends), np.diff(np.searchsorted(starts, offsets))


def _places(text: bytes, table: bytes) -> np.ndarray:
    return np.flatnonzero(np.frombuffer(text.translate(table), np.bool_))


def _strings(text: bytes, offsets: np.ndarray) -> "pa.Array":
    return pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(text))


def _ngrams(tokens: "pa.Array", counts: np.ndarray, widths: Sequence[int]) -> tuple["pa.Array", np.ndarray]:
    """Return the ngrams of each text, those of the first of `widths` first, and their number in each text."""
    owners, parts, text_of = [], [], np.repeat(np.arange(len(counts)), counts)
    left = np.repeat(np.cumsum(counts), counts) - np.arange(len(tokens))  # in its text, from each token on
    for width in widths:
        starts = np.flatnonzero(left >= width)
        joined = (tokens.take(pa.array(starts + place)) for place in range(width))
        parts.append(pc.binary_join_element_wise(*joined, pa.scalar(" ", pa.large_string())))
        owners.append(text_of[starts])
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    return pa.concat_arrays(parts).take(pa.array(order)), np.bincount(owner, minlength=len(counts))
