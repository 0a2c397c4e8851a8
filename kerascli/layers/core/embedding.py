"""Embedding: a trained vector for each whole number."""

from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.layers.base import Example, Layer, WeightedModule, layer
from kerascli.parts.fields import ConstraintField, InitializerField, RegularizerField
from kerascli.parts.initializers import RandomUniform
from kerascli.shapes import PositiveInt, TensorSpec


@layer(
    Example(input=(5,), output=(5, 4), config={"input_dim": 10, "output_dim": 4}, dtype="int64"),
    Example(input=(5,), output=(5, 4), config={"input_dim": 10, "output_dim": 4, "mask_zero": True}, dtype="int64"),
)
class Embedding(Layer):
    """Looks up a trained vector for each whole number from 0 to input_dim - 1.

    With `mask_zero`, 0 stands for padding: the layers after it skip it.
    """

    mask = "make"
    takes_integers = True

    input_dim: PositiveInt
    output_dim: PositiveInt
    embeddings_initializer: InitializerField = RandomUniform()
    embeddings_regularizer: RegularizerField | None = None
    activity_regularizer: RegularizerField | None = None
    embeddings_constraint: ConstraintField | None = None
    mask_zero: bool = False

    def makes_mask(self) -> bool:
        return self.mask_zero

    def build(self, x: TensorSpec) -> nn.Module:
        return EmbeddingModule(self)


class EmbeddingModule(WeightedModule):
    embeddings: Tensor

    def __init__(self, settings: Embedding) -> None:
        super().__init__()
        self.mask_zero = settings.mask_zero
        self.add_weight(
            "embeddings", (settings.input_dim, settings.output_dim), initializer=settings.embeddings_initializer,
            regularizer=settings.embeddings_regularizer, constraint=settings.embeddings_constraint,
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *, output_dim)
        return F.embedding(x.long(), self.embeddings)

    def make_mask(self, x: Tensor) -> Tensor | None:  # (N, *) -> (N, *)
        return x != 0 if self.mask_zero else None
