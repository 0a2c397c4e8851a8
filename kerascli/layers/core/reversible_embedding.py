"""ReversibleEmbedding: an embedding that also projects vectors back to logits over ids (Press and Wolf, 2017)."""

from typing import Literal

import torch
from torch import Tensor, nn

from kerascli.foundation.shapes import PositiveFloat, TensorSpec
from kerascli.layers.base import CallArgument, Example, ShapeMismatch, layer
from kerascli.layers.core.embedding import EmbeddingArguments, EmbeddingModule
from kerascli.parts.fields import ConstraintField, InitializerField, RegularizerField
from kerascli.parts.initializers import RandomUniform


@layer(
    Example(input=(5,), output=(5, 4), config={"input_dim": 10, "output_dim": 4}, dtype="int64"),
)
class ReversibleEmbedding(EmbeddingArguments):
    """Embedding that, called with `reverse: true`, projects vectors back to a logit for each id.

    Input: (N, *) of ids, output: (N, *, output_dim); with `reverse` (N, *, output_dim) and (N, *, input_dim). Share it
    in a model: call it at the start and, with `reverse: true`, at the end. Paper: Press and Wolf, 2017.
    """

    refused = {  # noqa: RUF012
        "weights": "initial vectors are read from a file: init_from; Keras fails with them, too",
    }
    call_arguments = {"reverse": CallArgument("bool", "project vectors back to logits over the ids")}  # noqa: RUF012

    tie_weights: bool = True
    """Reverse with the transposed embedding matrix; false: with separate weights (output_dim, input_dim)."""
    embeddings_initializer: InitializerField = RandomUniform()
    """Initializer of the embedding matrix (input_dim, output_dim)."""
    embeddings_regularizer: RegularizerField | None = None
    """Regularizer of the embedding matrix, a penalty added to the loss."""
    embeddings_constraint: ConstraintField | None = None
    """Constraint applied to the embedding matrix after each update."""
    mask_zero: bool = False
    """Treat id 0 as padding: create a mask, so that later layers skip these steps."""
    reverse_dtype: Literal["float16", "bfloat16", "float32", "float64"] | None = None
    """Floating-point type of the reverse projection; null: the model's type."""
    logit_soft_cap: PositiveFloat | None = None
    """Soft cap of the logits: logits = cap * tanh(logits / cap); null: no cap."""

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

    def forward(
        self, x: Tensor, reverse: bool = False
    ) -> Tensor:  # (N, *) -> (N, *, output_dim), or, reversed, (N, *, input_dim)
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
