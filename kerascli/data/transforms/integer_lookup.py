"""Transform `integer_lookup`: map integers to vocabulary indices or to vectors over the vocabulary, and back."""

import torch
from torch import Tensor

from kerascli.data.base import Field, FittedState, transform
from kerascli.data.text.onnx_texts import mapped
from kerascli.data.transforms.input_checks import need_integers
from kerascli.data.transforms.lookup import Lookup
from kerascli.preprocessing.lookup import UNKNOWN, IntegerIndex, IntegerLookupSettings, InvertedModule


@transform()
class IntegerLookup(IntegerLookupSettings, Lookup):
    """Maps integer categories (years, postal codes) to vocabulary indices or vectors, as keras.layers.IntegerLookup.

    The vocabulary is given, or learned from the training rows in order of frequency. Out-of-vocabulary (OOV) values
    get index 0 by default; in targets they are an error, and the vocabulary is sorted.
    """

    entry_noun = "integer"
    entry_dtype = "int64"

    positive: int | None = None
    """Class of a binary target that counts as positive: a single output unit predicts its probability.
    null: the last class in sorted order."""

    def check_field(self, field: Field) -> None:
        need_integers(field)

    def parse_entry(self, line: str) -> int:
        try:
            return int(line)
        except ValueError:
            raise ValueError("expected an integer") from None

    def codes(self, values: Tensor, state: FittedState, *, target: bool) -> Tensor:
        entries = state.facts["vocabulary"]
        if self.invert:
            return InvertedModule(self, entries)(values)
        return IntegerIndex(self, entries, self.places(target=target))(values)

    def onnx(self, x: Tensor, field: Field, state: FittedState) -> Tensor:
        if self.invert or self.places() <= 1 or self.oov_method == "farmhash":
            return super().onnx(x.long(), field, state)
        indices = mapped(x.long(), self.table(state, target=False), UNKNOWN)
        return torch.where(indices == UNKNOWN, self.masks() + x.long() % self.places(), indices)
