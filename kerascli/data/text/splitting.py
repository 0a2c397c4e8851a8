"""Split texts into words or characters, as Keras's TextVectorization does on TensorFlow."""

import re
import string
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from kerascli.data.storage.column import Texts
from kerascli.data.storage.tokens import Tokens

_LOWER = {ord(capital): small for capital, small in zip(string.ascii_uppercase, string.ascii_lowercase, strict=True)}
_STRIP: dict[int, Any] = dict.fromkeys(map(ord, string.punctuation))
_STANDARDS: dict[str | None, dict[int, Any]] = {
    None: {}, "lower": _LOWER, "strip_punctuation": _STRIP, "lower_and_strip_punctuation": _LOWER | _STRIP,
}  # fmt: skip

_SPLITS: dict[str | None, Callable[[str], list[str]]] = {
    None: lambda text: [text],
    "whitespace": re.compile(r"\S+", re.ASCII).findall,
    "character": list,
}


def split_texts(
    texts: Iterable[str], standardize: str | None = "lower_and_strip_punctuation", split: str | None = "whitespace"
) -> list[list[str]]:
    """Return the tokens of each text; the settings are those of `text_vectorization`."""
    table = _STANDARDS[standardize]
    return list(map(_SPLITS[split], [text.translate(table) for text in texts] if table else texts))


def coded_words(rows: Sequence[Sequence[str]]) -> tuple[list[str], Tokens]:
    """Return the distinct tokens of rows of tokens, and the rows as indices among them."""
    tokens = Texts.of_values(np.array(list(chain.from_iterable(rows)), object))
    return tokens.word_list(), Tokens(tokens.codes, np.fromiter(map(len, rows), np.int64, len(rows)))
