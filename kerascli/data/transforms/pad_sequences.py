"""Transform `pad_sequences`: pad or truncate sequences to one length, as keras.utils.pad_sequences."""

from dataclasses import replace
from typing import Literal, Self

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor

from kerascli.data.base import Field, FittedState, Transform, transform
from kerascli.data.storage.blocks import Blocks
from kerascli.data.storage.convert import converted
from kerascli.data.storage.table import BadRow
from kerascli.data.storage.tokens import Tokens
from kerascli.data.transforms.input_checks import need_sequences, tokens_of
from kerascli.foundation.shapes import PositiveInt

End = Literal["pre", "post"]


@transform()
class PadSequences(Transform):
    """Pads and truncates sequences of integers to (maxlen,), as keras.utils.pad_sequences."""

    takes_sequences = True

    maxlen: PositiveInt | None = None
    """Length of all output sequences; null: the length of the longest training row."""
    dtype: Literal["int32", "int64", "float32"] = "int32"
    """The dtype of the output."""
    padding: End = "pre"
    """Side on which short sequences are padded: pre (before) or post (after)."""
    truncating: End = "pre"
    """Side on which long sequences lose values: pre (the beginning) or post (the end)."""
    value: float = 0.0
    """Value that fills the padding, one that `dtype` represents."""

    @model_validator(mode="after")
    def _value_fits(self) -> Self:
        try:
            converted(np.array([self.value]), np.dtype(self.dtype))
        except BadRow as bad:
            raise ValueError(f"value: {bad.text}") from None
        return self

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        need_sequences(field)
        length = self._length(state)
        return replace(field, shape=(length,), dtype=self.dtype, max_length=length)

    def fit(self, rows: Blocks, field: Field, *, target: bool) -> FittedState:
        return FittedState({"max_length": max(tokens_of(block).longest() for block in rows)}, {})

    def sequences(self, tokens: Tokens, field: Field, state: FittedState) -> Tensor:
        width = self._length(state)
        assert width is not None
        owners = tokens.owners()
        places = np.arange(len(tokens.values)) - np.repeat(np.cumsum(tokens.lengths) - tokens.lengths, tokens.lengths)
        over = np.maximum(tokens.lengths - width, 0)[owners]
        places = places - over if self.truncating == "pre" else places
        inside = (places >= 0) & (places < width)
        if self.padding == "pre":
            places = places + np.maximum(width - tokens.lengths, 0)[owners]
        out = np.full((len(tokens), width), self.value, self.dtype)
        try:
            out[owners[inside], places[inside]] = converted(tokens.values[inside], out.dtype)
        except BadRow as bad:
            raise BadRow(int(owners[inside][bad.row]), bad.text) from None
        return torch.from_numpy(out)

    def _length(self, state: FittedState | None) -> int | None:
        return self.maxlen or (None if state is None else state.facts["max_length"])
