"""Layers that apply the image operations of kerascli/preprocessing/images."""

from torch import nn

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.preprocessing.images import operations
from kerascli.preprocessing.images.base import ImageModule, ImageOperation


class ImageLayer(Layer):
    """Base class of layers that apply an image operation; random operations return their input at inference."""

    def build(self, x: TensorSpec) -> nn.Module:
        assert isinstance(self, ImageOperation)
        try:
            self.shape(x.shape)
        except ValueError as error:
            raise ShapeMismatch(str(error)) from None
        return ImageModule(self)


def _as_layer(operation: type[ImageOperation]) -> None:
    settings = {
        "__doc__": operation.__doc__,
        "__module__": operation.__module__,
        "takes_integers": operation.keeps_integers,
    }
    made = type(operation.__name__, (operation, ImageLayer), settings)
    layer(*(Example(use.input, use.output, use.config, use.dtype) for use in operation.uses))(made)


for _operation in operations():
    _as_layer(_operation)
