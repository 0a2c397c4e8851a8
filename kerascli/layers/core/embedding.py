"""Embedding and ReversibleEmbedding: a trained vector for each integer id, and back."""

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.foundation.shapes import Matrix, PositiveFloat, PositiveInt, TensorSpec
from kerascli.layers.absent import QUANTIZATION
from kerascli.layers.base import CallArgument, Example, Layer, ShapeMismatch, layer
from kerascli.layers.lora import LowRank, LowRankModule
from kerascli.parts import fields
from kerascli.parts.base import Initializer
from kerascli.parts.initializers import RandomUniform


class EmbeddingArguments(Layer):
    """Mixin with settings that embedding layers share; each layer itself declares its initializers and `mask_zero`."""

    refused = QUANTIZATION
    mask = "make"
    takes_integers = True

    input_dim: PositiveInt
    """Size of the vocabulary: the largest input id plus 1."""
    output_dim: PositiveInt
    """Dimensionality of the embedding vectors."""

    if TYPE_CHECKING:  # declared by each layer, where Keras has it
        mask_zero: bool

    @property
    def id_count(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.input_dim

    def makes_mask(self) -> bool:
        return self.mask_zero


@layer(Example(input=(5,), output=(5, 4), config={"input_dim": 10, "output_dim": 4}, dtype="int64"))
class Embedding(LowRank, EmbeddingArguments):
    """Embedding: replaces each integer id from 0 to input_dim - 1 by a trained vector.

    Input: (N, *) of ids. Output: (N, *, output_dim). With `mask_zero`, id 0 is padding: a mask makes later layers skip
    it.
    """

    row_independent = True

    embeddings_initializer: fields.InitializerField = RandomUniform()
    """Initializer of the embedding matrix (input_dim, output_dim)."""
    embeddings_regularizer: fields.RegularizerField | None = None
    """Regularizer of the embedding matrix, a penalty added to the loss."""
    activity_regularizer: fields.ActivityRegularizer = None
    embeddings_constraint: fields.ConstraintField | None = None
    """Constraint applied to the embedding matrix after each update."""
    mask_zero: bool = False
    """Treat id 0 as padding: create a mask, so that later layers skip these steps."""
    weights: Matrix | None = None
    """Initial embedding matrix, a list of input_dim lists of output_dim numbers; null: use embeddings_initializer."""

    def build(self, x: TensorSpec) -> nn.Module:
        if self.weights is None:
            return EmbeddingModule(self)
        if len(self.weights) != self.input_dim or any(len(vector) != self.output_dim for vector in self.weights):
            text = f"needs {self.input_dim} lists of {self.output_dim} numbers as weights"
            raise ShapeMismatch(text, argument="weights")
        return EmbeddingModule(self, GivenValues(values=self.weights))


class GivenValues(Initializer):
    """Initializer that returns the values in the config's `weights` of an embedding layer."""

    values: Matrix

    def __call__(self, shape: tuple[int, ...], *, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
        return torch.tensor(self.values, dtype=dtype)


class EmbeddingModule(LowRankModule):
    def __init__(self, settings: "Embedding | ReversibleEmbedding", start: Initializer | None = None) -> None:
        super().__init__(settings)
        start = start or settings.embeddings_initializer
        self.add_weight_of("embeddings", (settings.input_dim, settings.output_dim), initializer=start)
        self.add_lora("embeddings")

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *, output_dim)
        return F.embedding(x.long(), self.adapted("embeddings"))

    def make_mask(self, x: Tensor) -> Tensor | None:  # (N, *) -> (N, *)
        return x != 0 if self.settings.mask_zero else None


@layer(Example(input=(5,), output=(5, 4), config={"input_dim": 10, "output_dim": 4}, dtype="int64"))
class ReversibleEmbedding(LowRank, EmbeddingArguments):
    """Embedding that, called with `reverse: true`, projects vectors back to a logit for each id.

    Input: (N, *) of ids, output: (N, *, output_dim); with `reverse` (N, *, output_dim) and (N, *, input_dim). Share it
    in a model: call it at the start and, with `reverse: true`, at the end. Paper: Press and Wolf, 2017.
    """

    refused = {"weights": "initial vectors are read from a file: init_from; Keras fails with them, too"}  # noqa: RUF012
    call_arguments = {"reverse": CallArgument("bool", "project vectors back to logits over the ids")}  # noqa: RUF012

    tie_weights: bool = True
    """Reverse with the transposed embedding matrix; false: with separate weights (output_dim, input_dim)."""
    embeddings_initializer: fields.InitializerField = RandomUniform()
    """Initializer of the embedding matrix (input_dim, output_dim)."""
    embeddings_regularizer: fields.RegularizerField | None = None
    """Regularizer of the embedding matrix, a penalty added to the loss."""
    embeddings_constraint: fields.ConstraintField | None = None
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
        kernel = self.adapted("embeddings") if self.settings.tie_weights else self.reverse_embeddings
        y = self._logits(x, kernel)
        cap = self.settings.logit_soft_cap
        return y if cap is None else torch.tanh(y / cap) * cap

    def _logits(self, x: Tensor, kernel: Tensor) -> Tensor:
        if self.settings.reverse_dtype is None:
            return F.linear(x, kernel)
        dtype = getattr(torch, self.settings.reverse_dtype)
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(x.to(dtype), kernel.to(dtype))

    def make_mask(self, x: Tensor, reverse: bool = False) -> Tensor | None:
        return None if reverse else super().make_mask(x)
