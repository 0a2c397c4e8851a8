"""Operations that change the shape of tensors or the order of elements: reshape, transpose, join, slice, pad."""

import torch
from torch import Tensor
from torch.nn import functional as F

from kerascli.ops.base import (
    ArgumentError,
    Axes,
    Sizes,
    Tensors,
    Value,
    all_axes,
    as_tensor,
    dtype_beside,
    one_axis,
    op,
    wide,
)


@op(keeps_integers=True)
def shape(x: Tensor) -> list[int]:
    """Return the shape of a tensor, a list of integers with the batch size first; shape(x)[1] is a number."""
    return list(x.shape)


@op(keeps_integers=True)
def ndim(x: Tensor) -> int:
    """Return the number of axes of a tensor."""
    return x.ndim


@op(keeps_integers=True)
def size(x: Tensor) -> int:
    """Return the number of elements of a tensor."""
    return x.numel()


@op(keeps_integers=True)
def reshape(x: Tensor, newshape: int | Sizes) -> Tensor:
    """Reshape a tensor; the shape includes the batch axis, and one size can be -1 (inferred)."""
    return x.reshape([newshape] if isinstance(newshape, int) else list(newshape))


@op(keeps_integers=True)
def ravel(x: Tensor) -> Tensor:
    """Flatten a tensor to a vector."""
    return x.reshape(-1)


@op(keeps_integers=True)
def transpose(x: Tensor, axes: Sizes | None = None) -> Tensor:
    """Permute the axes of a tensor, by default to the reverse order."""
    return x.permute(*(reversed(range(x.ndim)) if axes is None else axes))


@op(keeps_integers=True)
def swapaxes(x: Tensor, axis1: int, axis2: int) -> Tensor:
    """Swap two axes of a tensor."""
    return x.swapaxes(axis1, axis2)


@op(keeps_integers=True)
def moveaxis(x: Tensor, source: int | Sizes, destination: int | Sizes) -> Tensor:
    """Move axes to other positions; the others keep their order."""
    return torch.movedim(x, source, destination)  # type: ignore[arg-type]


@op(keeps_integers=True)
def expand_dims(x: Tensor, axis: int | Sizes) -> Tensor:
    """Insert axes of size 1 at the given positions."""
    axes = [axis] if isinstance(axis, int) else axis
    rank = x.ndim + len(axes)
    if any(not -rank <= i < rank for i in axes):
        raise ArgumentError(f"expand_dims: axis {axis} is out of range for a result of {rank} axes")
    for i in sorted(i % rank for i in axes):
        x = x.unsqueeze(i)
    return x


@op(keeps_integers=True)
def squeeze(x: Tensor, axis: Axes = None) -> Tensor:
    """Remove axes of size 1: those in `axis`, by default all."""
    axes = all_axes(x, axis) if axis is not None else tuple(i for i in range(x.ndim) if x.shape[i] == 1)
    if any(x.shape[i] != 1 for i in axes):
        raise ArgumentError(f"squeeze: axis {axis} has a size other than 1")
    return x.squeeze(axes)


@op(keeps_integers=True)
def broadcast_to(x: Tensor, shape: Sizes) -> Tensor:
    """Broadcast a tensor to a shape: repeat it along axes of size 1, and along new leading axes."""
    return x.expand(*shape)


@op(keeps_integers=True)
def flip(x: Tensor, axis: Axes = None) -> Tensor:
    """Reverse the order of elements along `axis`, by default along all axes."""
    return x.flip(all_axes(x, axis))


@op(keeps_integers=True)
def fliplr(x: Tensor) -> Tensor:
    """Reverse the order of elements along axis 1 (left to right)."""
    return x.fliplr()


@op(keeps_integers=True)
def flipud(x: Tensor) -> Tensor:
    """Reverse the order of elements along axis 0 (up to down)."""
    return x.flipud()


@op(keeps_integers=True)
def rot90(array: Tensor, k: int = 1, axes: Sizes = (0, 1)) -> Tensor:
    """Rotate a tensor by 90 degrees k times in the plane of two axes, from the first axis towards the second."""
    return torch.rot90(array, k, list(axes))


@op(keeps_integers=True)
def roll(x: Tensor, shift: int | Sizes, axis: Axes = None) -> Tensor:
    """Roll elements along axes by `shift` positions; those beyond the end reappear at the start."""
    return torch.roll(x, shift, axis)  # type: ignore[arg-type]


@op(keeps_integers=True)
def repeat(x: Tensor, repeats: int, axis: int | None = None) -> Tensor:
    """Repeat each element `repeats` times along `axis`, by default in the flattened tensor."""
    x, axis = (x.reshape(-1), 0) if axis is None else (x, one_axis(x, axis))
    sizes = [*x.shape[: axis + 1], repeats, *x.shape[axis + 1 :]]
    return x.unsqueeze(axis + 1).expand(sizes).flatten(axis, axis + 1)


@op(keeps_integers=True)
def tile(x: Tensor, repeats: int | Sizes) -> Tensor:
    """Tile a tensor: repeat it as a whole, `repeats` times per axis."""
    return torch.tile(x, (repeats,) if isinstance(repeats, int) else tuple(repeats))


@op(keeps_integers=True)
def pad(x: Tensor, pad_width: list, mode: str = "constant", constant_values: float | None = None) -> Tensor:  # type: ignore[type-arg]
    """Pad each axis by [before, after] elements; mode: 'constant' (0 or constant_values), 'reflect' or 'symmetric'."""
    widths = [list(pair) if isinstance(pair, list) else [pair, pair] for pair in pad_width]
    widths = widths * x.ndim if len(widths) == 1 else widths
    if len(widths) != x.ndim or any(len(pair) != 2 or not all(isinstance(n, int) for n in pair) for pair in widths):
        raise ArgumentError(f"pad: pad_width: expected [before, after] for each of {x.ndim} axes, got {pad_width}")
    if mode == "constant":
        flat = [n for pair in reversed(widths) for n in pair]
        x = x if constant_values is None else x.to(dtype_beside(x, constant_values))
        return F.pad(x, flat, value=constant_values or 0.0)
    if constant_values is not None or mode not in {"reflect", "symmetric"}:
        raise ArgumentError(
            "pad: mode: expected 'constant', 'reflect' or 'symmetric'; constant_values is for 'constant' only"
        )
    for axis, (before, after) in enumerate(widths):
        inner = 1 if mode == "reflect" else 0
        length = x.shape[axis]
        if max(before, after) > length - inner:
            raise ArgumentError(f"pad: an axis of {length} is too short for {mode} padding of {max(before, after)}")
        head = x.narrow(axis, inner, before).flip(axis)
        tail = x.narrow(axis, length - inner - after, after).flip(axis)
        x = torch.cat([head, x, tail], axis)
    return x


@op(keeps_integers=True)
def concatenate(xs: Tensors, axis: int = 0) -> Tensor:
    """Concatenate tensors along an existing axis."""
    return torch.cat(list(xs), axis)


@op(keeps_integers=True)
def append(x1: Tensor, x2: Tensor, axis: int | None = None) -> Tensor:
    """Append x2 to x1 along `axis`; by default both are flattened first."""
    return torch.cat([x1, x2], axis) if axis is not None else torch.cat([x1.reshape(-1), x2.reshape(-1)])


@op(keeps_integers=True)
def stack(x: Tensors, axis: int = 0) -> Tensor:
    """Stack tensors along a new axis."""
    return torch.stack(list(x), axis)


@op(keeps_integers=True)
def hstack(xs: Tensors) -> Tensor:
    """Concatenate tensors along axis 1, vectors along axis 0."""
    return torch.hstack(list(xs))


@op(keeps_integers=True)
def vstack(xs: Tensors) -> Tensor:
    """Concatenate tensors along axis 0; vectors become rows of a matrix."""
    return torch.vstack(list(xs))


@op(keeps_integers=True)
def dstack(xs: Tensors) -> Tensor:
    """Concatenate tensors along axis 2, which is added to tensors that lack it."""
    return torch.dstack(list(xs))


@op(keeps_integers=True)
def meshgrid(*x: Tensor, indexing: str = "xy") -> list[Tensor]:
    """Build coordinate tensors of a grid from vectors, one tensor per vector; indexing: 'xy' or 'ij'."""
    return list(torch.meshgrid(*x, indexing=indexing))


@op(keeps_integers=True)
def diag(x: Tensor, k: int = 0) -> Tensor:
    """Build a matrix with a vector on its k-th diagonal, or return the k-th diagonal of a matrix."""
    return torch.diag(x, k)


@op(keeps_integers=True)
def diagflat(x: Tensor, k: int = 0) -> Tensor:
    """Build a matrix with all elements of x, flattened, on its k-th diagonal."""
    return torch.diagflat(x, k)


@op(keeps_integers=True)
def diagonal(x: Tensor, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Return the diagonal along two axes of a tensor, as a new last axis."""
    return torch.diagonal(x, offset, axis1, axis2)


@op()
def trace(x: Tensor, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Compute the sum of the diagonal along two axes of a tensor."""
    return torch.diagonal(x, offset, axis1, axis2).sum(-1)


@op(keeps_integers=True)
def tril(x: Tensor, k: int = 0) -> Tensor:
    """Return the lower triangle of the last two axes, with 0 above the k-th diagonal."""
    return torch.tril(x, k)


@op(keeps_integers=True)
def triu(x: Tensor, k: int = 0) -> Tensor:
    """Return the upper triangle of the last two axes, with 0 below the k-th diagonal."""
    return torch.triu(x, k)


@op("slice", keeps_integers=True)
def slice_(inputs: Tensor, start_indices: Sizes, shape: Sizes) -> Tensor:
    """Slice a tensor: per axis, take `shape` elements from `start_indices` on."""
    for axis, (start, length) in enumerate(zip(start_indices, shape, strict=True)):
        inputs = inputs.narrow(axis, start, length)
    return inputs


@op(keeps_integers=True)
def slice_update(inputs: Tensor, start_indices: Sizes, updates: Tensor) -> Tensor:
    """Return a copy of a tensor with the slice at `start_indices` replaced by `updates`."""
    places = [slice(start, start + length) for start, length in zip(start_indices, updates.shape, strict=True)]
    out = inputs.to(dtype_beside(inputs, updates), copy=True)
    out[tuple(places)] = updates
    return out


@op(keeps_integers=True)
def depth_to_space(x: Tensor, block_size: int, data_format: str = "channels_last") -> Tensor:
    """Rearrange channels into space: (N, H, W, C * b * b) -> (N, H * b, W * b, C); channels_first: as pixel_shuffle."""
    if _is_channels_first("depth_to_space", data_format):
        return F.pixel_shuffle(x, block_size)
    n, h, w, c = x.shape
    b = block_size
    return x.reshape(n, h, w, b, b, c // b**2).permute(0, 1, 3, 2, 4, 5).reshape(n, h * b, w * b, c // b**2)


@op(keeps_integers=True)
def space_to_depth(x: Tensor, block_size: int, data_format: str = "channels_last") -> Tensor:
    """Rearrange space into channels, the inverse of depth_to_space; channels_first: as torch's pixel_unshuffle."""
    if _is_channels_first("space_to_depth", data_format):
        return F.pixel_unshuffle(x, block_size)
    n, h, w, c = x.shape
    b = block_size
    return x.reshape(n, h // b, b, w // b, b, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h // b, w // b, c * b**2)


def _is_channels_first(name: str, data_format: str) -> bool:
    if data_format not in {"channels_last", "channels_first"}:
        text = f"{name}: data_format: expected 'channels_last' or 'channels_first', got '{data_format}'"
        raise ArgumentError(text, "data_format")
    return data_format == "channels_first"


@op(keeps_integers=True)
def select(condlist: Tensors, choicelist: Tensors, default: Value = 0) -> Tensor:
    """Select, elementwise, the choice that belongs to the first true condition, or the default if none is true."""
    out = as_tensor(default, choicelist[0].device)
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        out = torch.where(condition.bool(), wide(choice), out)
    return out
