"""Operations that split a tensor into several."""

import torch
from torch import Tensor

from kerascli.ops.base import ArgumentError, Sizes, op


@op(keeps_integers=True)
def unstack(x: Tensor, num: int | None = None, axis: int = 0) -> list[Tensor]:
    """Split a tensor along an axis into a list of tensors of one rank less."""
    if num is not None and x.shape[axis] != num:
        raise ArgumentError(f"unstack: num: expected {x.shape[axis]}, the size of the axis, got {num}")
    return list(x.unbind(axis))


@op(keeps_integers=True)
def split(x: Tensor, indices_or_sections: int | Sizes, axis: int = 0) -> list[Tensor]:
    """Split a tensor along an axis into a number of equal parts, or before each of the given indices."""
    if isinstance(indices_or_sections, int) and (indices_or_sections < 1 or x.shape[axis] % indices_or_sections):
        raise ArgumentError(
            f"split: an axis of size {x.shape[axis]} cannot be split into {indices_or_sections} equal parts"
        )
    return array_split(x, indices_or_sections, axis)


@op(keeps_integers=True)
def array_split(x: Tensor, indices_or_sections: int | Sizes, axis: int = 0) -> list[Tensor]:
    """Split a tensor along an axis as `split` does; if the parts cannot be equal, the first ones are longer by one."""
    return list(torch.tensor_split(x, indices_or_sections, axis))  # type: ignore[arg-type]


@op(keeps_integers=True)
def vsplit(x: Tensor, indices_or_sections: int | Sizes) -> list[Tensor]:
    """Split a tensor along axis 0, as `split` does."""
    return split(x, indices_or_sections, 0)


@op(keeps_integers=True)
def hsplit(x: Tensor, indices_or_sections: int | Sizes) -> list[Tensor]:
    """Split a tensor along axis 1, or a vector along axis 0, as `split` does."""
    return split(x, indices_or_sections, 1 if x.ndim > 1 else 0)


@op(keeps_integers=True)
def dsplit(x: Tensor, indices_or_sections: int | Sizes) -> list[Tensor]:
    """Split a tensor along axis 2, as `split` does."""
    return split(x, indices_or_sections, 2)
