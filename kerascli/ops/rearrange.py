"""The operation rearrange, which splits, transposes and joins named axes of a tensor."""

import math
import re

from torch import Tensor

from kerascli.ops.base import ArgumentError, op


@op(keeps_integers=True)
def rearrange(tensor: Tensor, pattern: str, **axes_lengths: int) -> Tensor:
    """Split, transpose and join axes named in a pattern: 'b (h k) c -> b h (k c)', k=2; brackets group to one axis."""
    sides = pattern.split("->")
    if len(sides) != 2:
        raise ArgumentError(f"rearrange: pattern: expected 'axes -> axes', got '{pattern}'")
    before, after = map(_groups, sides)
    names, order = ([name for group in side for name in group] for side in (before, after))
    if sorted(names) != sorted(order) or len(set(names)) != len(names):
        raise ArgumentError(f"rearrange: pattern: expected each axis once on each side of '->', got '{pattern}'")
    unknown = [name for name in axes_lengths if name not in names]
    if unknown:
        raise ArgumentError(f"rearrange: '{unknown[0]}' is not an axis of '{pattern}'", unknown[0])
    if len(before) != tensor.ndim:
        raise ArgumentError(f"rearrange: '{sides[0].strip()}' has {len(before)} axes, the tensor has {tensor.ndim}")
    sizes: dict[str, int] = {}
    for group, length in zip(before, tensor.shape, strict=True):
        sizes.update(_sizes(group, length, axes_lengths))
    y = tensor.reshape([sizes[name] for name in names]).permute([names.index(name) for name in order])
    return y.reshape([math.prod(sizes[name] for name in group) for group in after])


def _groups(side: str) -> list[list[str]]:
    """Parse one side of a `rearrange` pattern to groups of axis names: 'b (h k)' gives [['b'], ['h', 'k']]."""
    if not re.fullmatch(r"(\s*(\w+|\([\w\s]+\)))*\s*", side):
        raise ArgumentError(f"rearrange: pattern: expected names and brackets with names in them, got '{side.strip()}'")
    return [part.strip("()").split() for part in re.findall(r"\w+|\([\w\s]+\)", side)]


def _sizes(group: list[str], length: int, given: dict[str, int]) -> dict[str, int]:
    """Return the sizes of the axes into which an axis of `length` is split; one size may be unknown and is inferred."""
    open_ = [name for name in group if name not in given]
    known = math.prod(given[name] for name in group if name in given)
    if len(open_) > 1:
        raise ArgumentError(f"rearrange: all sizes of ({' '.join(group)}) but one must be given, such as {open_[0]}=2")
    if known < 1 or length % known or (not open_ and known != length):
        raise ArgumentError(f"rearrange: an axis of {length} cannot be split into ({' '.join(group)}) with {known}")
    return {name: given.get(name, length // known) for name in group}
