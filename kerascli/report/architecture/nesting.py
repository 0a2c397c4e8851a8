"""Find the blocks and shared models that contain each node of a model, to draw them as boxes or frames."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from kerascli.foundation.errors import Path
from kerascli.model.ir.nodes import Model, Node, Shared


@dataclass(frozen=True, slots=True)
class Part:
    """Part of a model that is drawn as a box or frame: one use of a block of layers, or a shared model with all
    calls."""

    key: str
    name: str
    is_shared: bool


Place = tuple[Part, ...]
"""Tuple of the parts (uses of blocks, shared models) that contain a node of the model, from the outermost inwards."""


@dataclass(slots=True)
class _Use:
    """One use of a block of layers, parts while the model's nodes are read in order; its nodes are consecutive."""

    number: int
    part: Part
    inside: Path
    """Config path of the last node in the block's use; for a node in the use of an inner block, the path of that
    use."""
    last: int
    """Index, among all nodes of the model, of the last node in the block's use."""


_Uses = dict[tuple[str, str, Path], _Use]
"""Mapping to the use of a block from (call of a shared model, key of the part around the block, config path of the
block)."""


def enclosing_parts(model: Model, *, shared_once: bool) -> dict[str, Place]:
    """Return, by node name, the blocks and shared models that contain it; with `shared_once`, all calls of a shared
    model count as one."""
    shared = {each.name for each in _all_shared(model.shared) if each.layer is None}
    uses: _Uses = {}
    numbered = enumerate(model.nodes)
    return {node.name: _place(node, number, shared, uses, shared_once=shared_once) for number, node in numbered}


def _all_shared(shared: Iterable[Shared]) -> Iterable[Shared]:
    for each in shared:
        yield each
        yield from _all_shared(each.shared)


def _place(node: Node, number: int, shared: set[str], uses: _Uses, *, shared_once: bool) -> Place:
    parts: list[Part] = []
    whole = [*node.uses, node.path]
    call = node.name.rpartition(".")[0]
    for path, below in pairwise(whole):
        name, around = str(path[-1]), parts[-1].key if parts else ""
        if name in shared:
            parts.append(Part(f"{around}/{name}" if shared_once else f"{around}/{name} {call}", name, True))
        elif _is_body(below, name):
            parts.append(_block(uses, (call, around, path), name, below, number))
    return tuple(parts)  # the rest is a call of a shared layer: a box of its own


def _is_body(path: Path, block: str) -> bool:
    return block in path and path[path.index(block) - 1] == "blocks"


def _block(uses: _Uses, at: tuple[str, str, Path], name: str, below: Path, node: int) -> Part:
    """Return the box (one use of a block of layers) that contains a node: that of the node before, or a new one."""
    start = below.index(name) + 2  # blocks, NAME, layers, the entry's number
    before = uses.get(at)
    follows = before is not None and node == before.last + 1
    if before is not None and follows and not _begins_again(before.inside[start:], below[start:]):
        before.inside, before.last = below, node
        return before.part
    number = 1 if before is None else before.number + 1
    key = f"{at[1]}/{'.'.join(map(str, at[2]))} {number}"
    uses[at] = _Use(number, Part(key, name, False), below, node)
    return uses[at].part


def _begins_again(last: Path, now: Path) -> bool:
    """Return True if a new use of a block starts: the node comes before the previous one in the config, or is the only
    one, again."""
    first, second = last[0], now[0]
    assert isinstance(first, int)
    assert isinstance(second, int)
    return second < first or (now == last and len(now) == 2)
