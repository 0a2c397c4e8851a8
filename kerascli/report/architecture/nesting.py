"""Find the blocks and shared models of the config in which each node of a model is written."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from kerascli.errors import Path
from kerascli.model.ir.nodes import Model, Node, Shared


@dataclass(frozen=True, slots=True)
class Part:
    """Part of a model that is drawn as a box or frame: a use of a block, or a shared model with all of its calls."""

    key: str
    name: str
    is_shared: bool


Place = tuple[Part, ...]
"""Parts (uses of blocks, shared models) around a node, from the outermost inwards."""


@dataclass(slots=True)
class _Use:
    """A use of a block during the traversal of the nodes; the nodes of a use are consecutive."""

    number: int
    part: Part
    inside: Path
    """Config path at which the last node, or the inner use of a block that has it, is written."""
    last: int
    """Index of the last node of the use among the nodes of the model."""


_Uses = dict[tuple[str, str, Path], _Use]
"""Uses of blocks by the call of a shared model, the key of the part around, and the place in the config."""


def enclosing_parts(model: Model, *, shared_once: bool) -> dict[str, Place]:
    """Return, by node name, the blocks and shared models around a node; with `shared_once` all calls are one part."""
    shared = {each.name for each in _all_shared(model.shared) if each.layer is None}
    uses: _Uses = {}
    numbered = enumerate(model.nodes)
    return {node.name: _place(node, number, shared, uses, shared_once=shared_once) for number, node in numbered}


def _all_shared(shared: Iterable[Shared]) -> Iterable[Shared]:
    for each in shared:
        yield each
        yield from _all_shared(each.shared)


def _place(node: Node, number: int, shared: set[str], uses: _Uses, *, shared_once: bool) -> Place:
    found: list[Part] = []
    whole = [*node.uses, node.path]
    call = node.name.rpartition(".")[0]
    for path, below in pairwise(whole):
        name, around = str(path[-1]), found[-1].key if found else ""
        if name in shared:
            found.append(Part(f"{around}/{name}" if shared_once else f"{around}/{name} {call}", name, True))
        elif _is_body(below, name):
            found.append(_block(uses, (call, around, path), name, below, number))
    return tuple(found)  # the rest is a call of a shared layer: a box of its own


def _is_body(path: Path, block: str) -> bool:
    return block in path and path[path.index(block) - 1] == "blocks"


def _block(uses: _Uses, at: tuple[str, str, Path], name: str, below: Path, node: int) -> Part:
    """Return the diagram part of a block's node: that of the last node, or a new one if a repeat begins again."""
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
    """Return True if a block begins again: its node is written before the last one, or is its only layer again."""
    first, second = last[0], now[0]
    assert isinstance(first, int)
    assert isinstance(second, int)
    return second < first or (now == last and len(now) == 2)
