"""Embedding: a trained vector for each whole number."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.layers.absent import ADAPTERS_AND_QUANTIZATION
from kerascli.layers.base import Example, Layer, ShapeMismatch, WeightedModule, layer
from kerascli.parts import fields
from kerascli.parts.base import Initializer
from kerascli.parts.initializers import RandomUniform
from kerascli.shapes import Matrix, PositiveInt, TensorSpec


class Vectors(Layer):
    """Settings of a table of vectors; what the vectors start from stands in the layers, in Keras's order."""

    refused = ADAPTERS_AND_QUANTIZATION
    mask = "make"
    takes_integers = True

    input_dim: PositiveInt
    """How many words there are: the largest number plus 1."""
    output_dim: PositiveInt
    """The size of a word's vector."""

    if TYPE_CHECKING:  # declared by each layer, where Keras has it
        mask_zero: bool

    @property
    def id_count(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.input_dim

    def makes_mask(self) -> bool:
        return self.mask_zero


@layer(
    Example(input=(5,), output=(5, 4), config={"input_dim": 10, "output_dim": 4}, dtype="int64"),
    Example(input=(5,), output=(5, 4), config={"input_dim": 10, "output_dim": 4, "mask_zero": True}, dtype="int64"),
)
class Embedding(Vectors):
    """Looks up a trained vector for each whole number from 0 to input_dim - 1.

    With `mask_zero`, 0 stands for padding: the layers after it skip it.
    """

    by_rows = True

    embeddings_initializer: fields.InitializerField = RandomUniform()
    """What the vectors start from."""
    embeddings_regularizer: fields.RegularizerField | None = None
    """A penalty on the vectors, added to the loss."""
    activity_regularizer: fields.ActivityRegularizer = None
    embeddings_constraint: fields.ConstraintField | None = None
    """What the vectors are held to after each update."""
    mask_zero: bool = False
    """0 is no word: steps that have it are skipped by what follows."""
    weights: Matrix | None = None
    """The vectors to start from, a list of input_dim lists; null: embeddings_initializer's."""

    def build(self, x: TensorSpec) -> nn.Module:
        if self.weights is None:
            return EmbeddingModule(self)
        if len(self.weights) != self.input_dim or any(len(vector) != self.output_dim for vector in self.weights):
            text = f"needs {self.input_dim} lists of {self.output_dim} numbers as weights"
            raise ShapeMismatch(text, argument="weights")
        return EmbeddingModule(self, Values(values=self.weights))


class Values(Initializer):
    """The numbers themselves."""

    values: Matrix

    def __call__(self, shape: tuple[int, ...], *, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
        return torch.tensor(self.values, dtype=dtype)


class EmbeddingModule(WeightedModule):
    embeddings: Tensor

    def __init__(self, settings: Vectors, start: Initializer | None = None) -> None:
        super().__init__()
        self.mask_zero = settings.mask_zero
        self.add_weight_of(settings, "embeddings", (settings.input_dim, settings.output_dim), initializer=start)

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *, output_dim)
        return F.embedding(x.long(), self.embeddings)

    def make_mask(self, x: Tensor) -> Tensor | None:  # (N, *) -> (N, *)
        return x != 0 if self.mask_zero else None
