"""ReversibleEmbedding: an embedding that also leads back, from vectors to scores of numbers (Press and Wolf, 2017)."""

from typing import Literal

import torch
from torch import Tensor, nn

from kerascli.layers.base import CallArgument, Example, ShapeMismatch, layer
from kerascli.layers.core.embedding import EmbeddingModule, Vectors
from kerascli.parts.fields import ConstraintField, InitializerField, RegularizerField
from kerascli.parts.initializers import RandomUniform
from kerascli.shapes import PositiveFloat, TensorSpec


@layer(
    Example(input=(5,), output=(5, 4), config={"input_dim": 10, "output_dim": 4}, dtype="int64"),
)
class ReversibleEmbedding(Vectors):
    """An embedding that, called with `reverse`, leads back from vectors to a score for each whole number.

    It is made to be shared: called once at the start of a model and once, with `reverse: true`, at its end.
    """

    refused = {  # noqa: RUF012
        "weights": "vectors to start from are read from a file: init_from; Keras fails with them, too",
    }
    call_arguments = {"reverse": CallArgument("bool", "from vectors to scores")}  # noqa: RUF012

    tie_weights: bool = True
    """Lead back by the vectors themselves; false: by weights of its own."""
    embeddings_initializer: InitializerField = RandomUniform()
    """What the vectors start from."""
    embeddings_regularizer: RegularizerField | None = None
    """A penalty on the vectors, added to the loss."""
    embeddings_constraint: ConstraintField | None = None
    """What the vectors are held to after each update."""
    mask_zero: bool = False
    """0 is no word: steps that have it are skipped by what follows."""
    reverse_dtype: Literal["float16", "bfloat16", "float32", "float64"] | None = None
    """The precision of the way back; null: that of the model."""
    logit_soft_cap: PositiveFloat | None = None
    """Bend the scores by tanh so that none is larger than this; null: no limit."""

    def build(self, x: TensorSpec) -> nn.Module:
        return ReversibleEmbeddingModule(self)


class ReversibleEmbeddingModule(EmbeddingModule):
    reverse_embeddings: Tensor

    def __init__(self, settings: ReversibleEmbedding) -> None:
        super().__init__(settings)
        self.settings = settings
        if not settings.tie_weights:
            self.add_weight(
                "reverse_embeddings", (settings.output_dim, settings.input_dim), axes=(1, 0),
                initializer=settings.embeddings_initializer,
            )  # fmt: skip

    def forward(self, x: Tensor, reverse: bool = False) -> Tensor:  # (N, *) -> (N, *, output_dim), or the way back
        if not reverse:
            return super().forward(x)
        if not x.is_floating_point() or x.shape[-1] != self.settings.output_dim:
            raise ShapeMismatch(f"needs vectors of {self.settings.output_dim} features to reverse", argument="reverse")
        kernel = self.embeddings if self.settings.tie_weights else self.reverse_embeddings
        y = self._logits(x, kernel)
        cap = self.settings.logit_soft_cap
        return y if cap is None else torch.tanh(y / cap) * cap

    def _logits(self, x: Tensor, kernel: Tensor) -> Tensor:
        if self.settings.reverse_dtype is None:
            return nn.functional.linear(x, kernel)
        dtype = getattr(torch, self.settings.reverse_dtype)
        with torch.autocast(x.device.type, enabled=False):
            return nn.functional.linear(x.to(dtype), kernel.to(dtype))

    def make_mask(self, x: Tensor, reverse: bool = False) -> Tensor | None:
        return None if reverse else super().make_mask(x)
