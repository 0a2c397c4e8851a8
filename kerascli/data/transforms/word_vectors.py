"""Transform `word_vectors`: pretrained word vectors (GloVe, word2vec, fastText in text form) for token ids."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.data.base import Field, FittedState, Transform, transform
from kerascli.data.storage.blocks import Blocks
from kerascli.foundation.disk.files import open_regular
from kerascli.foundation.errors import DataError, Place

_LONGEST_LINE = 2**20


@transform()
class WordVectors(Transform):
    """Replaces token ids (*) by pretrained word vectors (*, dim), which stay fixed: GloVe, word2vec or fastText.

    The file is text with one line for each word: the word and its vector, separated by blanks. Padding, unknown tokens
    and words that the file lacks become zeros.
    """

    per_batch = "always"
    paths = ("path",)

    path: str
    """Path of the text file with the vectors, for example glove.6B.100d.txt."""

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        if not field.is_integer or field.is_ragged:
            raise ValueError(
                f"needs token ids, got {'sequences of different lengths' if field.is_ragged else field.dtype}"
            )
        if state is not None and field.words is None:
            raise ValueError("needs token ids with a vocabulary, as from text_vectorization and string_lookup")
        width = None if state is None else state.arrays["vectors"].shape[1]
        return replace(field, shape=(*field.shape, width), dtype="float32", vocabulary_size=None, words=None)

    def fit(self, rows: Blocks, field: Field, *, target: bool) -> FittedState:
        if field.words is None:
            raise ValueError("needs token ids with a vocabulary, as from text_vectorization and string_lookup")
        places = {word.encode(): place for place, word in enumerate(field.words) if word}
        vector_of = _read(Path(self.path), places)
        if not vector_of:
            raise ValueError(f"none of the {len(places):,} words of the vocabulary is in the file '{self.path}'")
        vectors = np.zeros((len(field.words), len(next(iter(vector_of.values())))), np.float32)
        for place, vector in vector_of.items():
            vectors[place] = vector
        share = len(vector_of) / len(places)
        warning = f"the file has {share:.0%} of the words of the vocabulary; the vectors of the others are zeros"
        return FittedState({}, {"vectors": vectors}, (warning,) if share < 0.5 else ())

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        return _Vectors(state.arrays["vectors"])


class _Vectors(nn.Module):
    vectors: Tensor

    def __init__(self, vectors: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.from_numpy(vectors), persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *, F)
        return F.embedding(x.long(), self.vectors)


def _read(path: Path, places: Mapping[bytes, int]) -> dict[int, np.ndarray]:
    """Read the vectors of the given words from the file, line by line; return {token id: vector}. Raises DataError."""
    vectors: dict[int, np.ndarray] = {}
    width = 0
    with open_regular(path) as file:
        number = 0
        while line := file.readline(_LONGEST_LINE):
            number += 1
            word, _, numbers = line.rstrip().partition(b" ")
            place = places.get(word)
            if place is None or (number == 1 and numbers.count(b" ") == 0):  # word2vec's header: two sizes
                continue
            vector = _vector(numbers)
            if vector is None or (width and len(vector) != width):
                text = (
                    "expected a word and its vector"
                    if vector is None
                    else f"{len(vector)} numbers, others have {width}"
                )
                raise DataError(text, place=Place(str(path), number))
            width = len(vector)
            vectors[place] = vector
    return vectors


def _vector(numbers: bytes) -> np.ndarray | None:
    try:
        vector = np.array(numbers.split(), np.float32)
    except ValueError:
        return None
    return vector if len(vector) and np.isfinite(vector).all() else None
