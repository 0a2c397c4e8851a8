"""Image operations (kerascli/preprocessing/images) as transforms that run per batch, on the batch's device."""

from dataclasses import replace

import numpy as np
from torch import nn

from kerascli.data.base import Field, FittedState, Transform, transform
from kerascli.data.transforms.input_checks import float_dtype, need_numbers
from kerascli.preprocessing.images import operations
from kerascli.preprocessing.images.base import ImageModule, ImageOperation


class ImageTransform(Transform):
    """Base class of image operations as transforms; random operations change training batches only."""

    def in_batch(self, field: Field) -> bool:
        return True

    def infer(self, field: Field, learned: FittedState | None, *, target: bool) -> Field:
        assert isinstance(self, ImageOperation)
        need_numbers(field)
        if target and not self.always:
            raise ValueError("would change a target differently from its input; only inputs can be changed at random")
        dtype = field.dtype if self.keeps_integers and field.is_integer else float_dtype(field)
        return replace(field, shape=self.shape(field.shape), dtype=dtype, num_classes=None, classes=None)

    def apply(self, values: np.ndarray, field: Field, learned: FittedState, *, target: bool) -> np.ndarray:
        assert isinstance(self, ImageOperation)
        if not self.always:
            raise ValueError("runs batch by batch: put it after the steps that run once, before training")
        return super().apply(values, field, learned, target=target)

    def batch(self, field: Field, learned: FittedState, *, target: bool) -> nn.Module:
        assert isinstance(self, ImageOperation)
        return ImageModule(self)


def _as_transform(operation: type[ImageOperation]) -> None:
    settings = {"__doc__": operation.__doc__, "__module__": operation.__module__}
    transform()(type(operation.__name__, (operation, ImageTransform), settings))


for _operation in operations():
    _as_transform(_operation)
