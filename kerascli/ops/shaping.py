"""Operations that change the shape of tensors or the order of elements: reshape, transpose, join, split, pad."""

import math
import re
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from kerascli.ops.base import Refusal, Sizes, Tensors, Value, all_axes, common_dtype, one_axis, op, table, wide


def _append(x1: Tensor, x2: Tensor, axis: int | None) -> Tensor:
    return torch.cat([x1, x2], axis) if axis is not None else torch.cat([x1.reshape(-1), x2.reshape(-1)])


def _split(x: Tensor, parts: int | Sizes, axis: int) -> list[Tensor]:
    if isinstance(parts, int) and (parts < 1 or x.shape[axis] % parts):
        raise Refusal(f"an axis of size {x.shape[axis]} cannot be split into {parts} equal parts")
    return list(torch.tensor_split(x, parts, axis))  # type: ignore[arg-type]


table({
    "shape(x) -> list": (lambda x: list(x.shape),
        "Return the shape of a tensor, a list of integers with the batch size first; shape(x)[1] is a number."),
    "ndim": (Tensor.dim, "Return the number of axes of a tensor."),
    "size": (torch.numel, "Return the number of elements of a tensor."),
    "reshape(x, newshape: int | Sizes)": (
        lambda x, shape: x.reshape([shape] if isinstance(shape, int) else list(shape)),
        "Reshape a tensor; the shape includes the batch axis, and one size can be -1 (inferred)."),
    "ravel": (torch.ravel, "Flatten a tensor to a vector."),
    "transpose(x, axes: Sizes | None = None)": (
        lambda x, axes: x.permute(*(reversed(range(x.ndim)) if axes is None else axes)),
        "Permute the axes of a tensor, by default to the reverse order."),
    "swapaxes(x, axis1: int, axis2: int)": (torch.swapaxes, "Swap two axes of a tensor."),
    "moveaxis(x, source: int | Sizes, destination: int | Sizes)": (torch.movedim,
        "Move axes to other positions; the others keep their order."),
    "broadcast_to(x, shape: Sizes)": (lambda x, shape: x.expand(*shape),
        "Broadcast a tensor to a shape: repeat it along axes of size 1, and along new leading axes."),
    "flip(x, axis: Axes = None)": (torch.flip, "Reverse the order of elements along `axis`, by default all axes."),
    "fliplr": (torch.fliplr, "Reverse the order of elements along axis 1 (left to right)."),
    "flipud": (torch.flipud, "Reverse the order of elements along axis 0 (up to down)."),
    "tile(x, repeats: int | Sizes)": (
        lambda x, repeats: torch.tile(x, (repeats,) if isinstance(repeats, int) else tuple(repeats)),
        "Tile a tensor: repeat it as a whole, `repeats` times per axis."),
    "concatenate(xs: Tensors, axis = 0)": (torch.cat, "Concatenate tensors along an existing axis."),
    "append(x1, x2, axis: int | None = None)": (_append, "Append x2 to x1 along `axis`, by default both flattened."),
    "stack(x: Tensors, axis = 0)": (torch.stack, "Stack tensors along a new axis."),
    "hstack(xs: Tensors)": (torch.hstack, "Concatenate tensors along axis 1, vectors along axis 0."),
    "vstack(xs: Tensors)": (torch.vstack, "Concatenate tensors along axis 0; vectors become rows of a matrix."),
    "dstack(xs: Tensors)": (torch.dstack,
        "Concatenate tensors along axis 2, which is added to tensors that lack it."),
    "diag(x, k = 0)": (torch.diag, "Build a matrix with a vector on its k-th diagonal, or return that of a matrix."),
    "diagflat(x, k = 0)": (torch.diagflat, "Build a matrix with all elements of x, flattened, on its k-th diagonal."),
    "diagonal(x, offset = 0, axis1 = 0, axis2 = 1)": (torch.diagonal,
        "Return the diagonal along two axes of a tensor, as a new last axis."),
    "tril(x, k = 0)": (torch.tril, "Return the lower triangle of the last two axes, with 0 above the k-th diagonal."),
    "triu(x, k = 0)": (torch.triu, "Return the upper triangle of the last two axes, with 0 below the k-th diagonal."),
    "split(x, indices_or_sections: int | Sizes, axis = 0) -> list": (_split,
        "Split a tensor along an axis into a number of equal parts, or before each of the given indices."),
    "array_split(x, indices_or_sections: int | Sizes, axis = 0) -> list": (torch.tensor_split,
    "Split a tensor along an axis as `split` does; if the parts cannot be equal, the first ones are longer by one."),
    "vsplit(x, indices_or_sections: int | Sizes) -> list": (lambda x, parts: _split(x, parts, 0),
        "Split a tensor along axis 0, as `split` does."),
    "hsplit(x, indices_or_sections: int | Sizes) -> list": (lambda x, parts: _split(x, parts, 1 if x.ndim > 1 else 0),
        "Split a tensor along axis 1, or a vector along axis 0, as `split` does."),
    "dsplit(x, indices_or_sections: int | Sizes) -> list": (lambda x, parts: _split(x, parts, 2),
        "Split a tensor along axis 2, as `split` does."),
}, keeps_integers=True)  # fmt: skip
table({
    "trace(x, offset = 0, axis1 = 0, axis2 = 1)": (lambda *arguments: torch.diagonal(*arguments).sum(-1),
        "Compute the sum of the diagonal along two axes of a tensor."),
})  # fmt: skip


@op(keeps_integers=True)
def expand_dims(x: Tensor, axis: int | Sizes) -> Tensor:
    """Insert axes of size 1 at the given positions."""
    axes = [axis] if isinstance(axis, int) else axis
    rank = x.ndim + len(axes)
    if any(not -rank <= i < rank for i in axes):
        raise Refusal(f"axis {axis} is out of range for a result of {rank} axes")
    for i in sorted(i % rank for i in axes):
        x = x.unsqueeze(i)
    return x


@op(keeps_integers=True)
def squeeze(x: Tensor, axis: int | Sizes | None = None) -> Tensor:
    """Remove axes of size 1: those in `axis`, by default all."""
    axes = all_axes(x, axis) if axis is not None else tuple(i for i in range(x.ndim) if x.shape[i] == 1)
    if any(x.shape[i] != 1 for i in axes):
        raise Refusal(f"axis {axis} has a size other than 1")
    return x.squeeze(axes)


@op(keeps_integers=True)
def rot90(array: Tensor, k: int = 1, axes: Sizes = (0, 1)) -> Tensor:
    """Rotate a tensor by 90 degrees k times in the plane of two axes, from the first axis towards the second."""
    return torch.rot90(array, k, list(axes))


@op(keeps_integers=True)
def roll(x: Tensor, shift: int | Sizes, axis: int | Sizes | None = None) -> Tensor:
    """Roll elements along axes by `shift` positions; those beyond the end reappear at the start."""
    return torch.roll(x, shift, axis)  # type: ignore[arg-type]


@op(keeps_integers=True)
def repeat(x: Tensor, repeats: int, axis: int | None = None) -> Tensor:
    """Repeat each element `repeats` times along `axis`, by default in the flattened tensor."""
    x, axis = (x.reshape(-1), 0) if axis is None else (x, one_axis(x, axis))
    sizes = [*x.shape[: axis + 1], repeats, *x.shape[axis + 1 :]]
    return x.unsqueeze(axis + 1).expand(sizes).flatten(axis, axis + 1)


_PadMode = Literal["constant", "reflect", "symmetric"]
_DataFormat = Literal["channels_last", "channels_first"]


@op(keeps_integers=True)
def pad(x: Tensor, pad_width: list, mode: _PadMode = "constant", constant_values: float | None = None) -> Tensor:  # type: ignore[type-arg]
    """Pad each axis by [before, after] elements; mode: 'constant' (0 or constant_values), 'reflect' or 'symmetric'."""
    widths = [list(pair) if isinstance(pair, list) else [pair, pair] for pair in pad_width]
    widths = widths * x.ndim if len(widths) == 1 else widths
    if len(widths) != x.ndim or any(len(pair) != 2 or not all(isinstance(n, int) for n in pair) for pair in widths):
        raise Refusal(f"pad_width: expected [before, after] for each of {x.ndim} axes, got {pad_width}")
    if mode == "constant":
        flat = [n for pair in reversed(widths) for n in pair]
        x = x if constant_values is None else x.to(common_dtype(x, constant_values))
        return F.pad(x, flat, value=constant_values or 0.0)
    if constant_values is not None:
        raise Refusal("constant_values is for the mode 'constant' only")
    return _mirrored(x, widths, mode)


def _mirrored(x: Tensor, widths: Sequence[Sequence[int]], mode: str) -> Tensor:
    """Pad axes by elements mirrored at the border, which `reflect` leaves out and `symmetric` repeats."""
    for axis, (before, after) in enumerate(widths):
        inner = 1 if mode == "reflect" else 0
        length = x.shape[axis]
        if max(before, after) > length - inner:
            raise Refusal(f"an axis of {length} is too short for {mode} padding of {max(before, after)}")
        head = x.narrow(axis, inner, before).flip(axis)
        x = torch.cat([head, x, x.narrow(axis, length - inner - after, after).flip(axis)], axis)
    return x


@op(keeps_integers=True)
def meshgrid(*x: Tensor, indexing: str = "xy") -> list[Tensor]:
    """Build coordinate tensors of a grid from vectors, one tensor per vector; indexing: 'xy' or 'ij'."""
    return list(torch.meshgrid(*x, indexing=indexing))


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
    out = inputs.to(common_dtype(inputs, updates), copy=True)
    out[tuple(places)] = updates
    return out


@op(keeps_integers=True)
def depth_to_space(x: Tensor, block_size: int, data_format: _DataFormat = "channels_last") -> Tensor:
    """Rearrange channels into space: (N, H, W, C * b * b) -> (N, H * b, W * b, C); channels_first: as pixel_shuffle."""
    if data_format == "channels_first":
        return F.pixel_shuffle(x, block_size)
    n, h, w, c = x.shape
    b = block_size
    return x.reshape(n, h, w, b, b, c // b**2).permute(0, 1, 3, 2, 4, 5).reshape(n, h * b, w * b, c // b**2)


@op(keeps_integers=True)
def space_to_depth(x: Tensor, block_size: int, data_format: _DataFormat = "channels_last") -> Tensor:
    """Rearrange space into channels, the inverse of depth_to_space; channels_first: as torch's pixel_unshuffle."""
    if data_format == "channels_first":
        return F.pixel_unshuffle(x, block_size)
    n, h, w, c = x.shape
    b = block_size
    return x.reshape(n, h // b, b, w // b, b, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h // b, w // b, c * b**2)


@op(keeps_integers=True)
def select(condlist: Tensors, choicelist: Tensors, default: Value = 0) -> Value:
    """Select, elementwise, the choice that belongs to the first true condition, or the default if none is true."""
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        default = torch.where(condition.bool(), wide(choice), default)
    return default


@op(keeps_integers=True)
def unstack(x: Tensor, num: int | None = None, axis: int = 0) -> list[Tensor]:
    """Split a tensor along an axis into a list of tensors of one rank less."""
    if num is not None and x.shape[axis] != num:
        raise Refusal(f"num: expected {x.shape[axis]}, the size of the axis, got {num}")
    return list(x.unbind(axis))


@op(keeps_integers=True)
def rearrange(tensor: Tensor, pattern: str, **axes_lengths: int) -> Tensor:
    """Split, transpose and join axes named in a pattern: 'b (h k) c -> b h (k c)', k=2; brackets group to one axis."""
    before, after = _pattern_sides(pattern)
    names, order = ([name for group in side for name in group] for side in (before, after))
    unknown = [name for name in axes_lengths if name not in names]
    if unknown:
        raise Refusal(f"'{unknown[0]}' is not an axis of '{pattern}'", unknown[0])
    if len(before) != tensor.ndim:
        raise Refusal(f"'{pattern.partition('->')[0].strip()}' has {len(before)} axes, the tensor has {tensor.ndim}")
    sizes: dict[str, int] = {}
    for group, length in zip(before, tensor.shape, strict=True):
        sizes.update(_sizes(group, length, axes_lengths))
    y = tensor.reshape([sizes[name] for name in names]).permute([names.index(name) for name in order])
    return y.reshape([math.prod(sizes[name] for name in group) for group in after])


def _pattern_sides(pattern: str) -> list[list[list[str]]]:
    """Parse a pattern of `rearrange` to the groups of axis names before and after `->`, with the same names in both."""
    sides = pattern.split("->")
    if len(sides) != 2:
        raise Refusal(f"pattern: expected 'axes -> axes', got '{pattern}'")
    groups = [_groups(side) for side in sides]
    names, order = (sorted(name for group in side for name in group) for side in groups)
    if names != order or len(set(names)) != len(names):
        raise Refusal(f"pattern: expected each axis once on each side of '->', got '{pattern}'")
    return groups


def _groups(side: str) -> list[list[str]]:
    """Parse one side of a `rearrange` pattern to groups of axis names: 'b (h k)' gives [['b'], ['h', 'k']]."""
    if not re.fullmatch(r"([\w\s]|\([\w\s]+\))*", side):
        raise Refusal(f"pattern: expected names and brackets with names in them, got '{side.strip()}'")
    return [part.strip("()").split() for part in re.findall(r"\w+|\([\w\s]+\)", side)]


def _sizes(group: list[str], length: int, lengths: dict[str, int]) -> dict[str, int]:
    """Return the sizes of the axes into which an axis of `length` is split; one size may be unknown and is inferred."""
    open_ = [name for name in group if name not in lengths]
    product = math.prod(lengths[name] for name in group if name in lengths)
    if len(open_) > 1:
        raise Refusal(f"all sizes of ({' '.join(group)}) but one must be given, such as {open_[0]}=2")
    if product < 1 or length % product or (not open_ and product != length):
        raise Refusal(f"an axis of {length} cannot be split into ({' '.join(group)}) with {product}")
    return {name: lengths.get(name, length // product) for name in group}
