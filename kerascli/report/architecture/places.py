"""Where each node of a model stands: by itself, or in the blocks and shared models that it is written in."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from kerascli.errors import Path
from kerascli.model.ir.nodes import Model, Node, Shared


@dataclass(frozen=True, slots=True)
class Part:
    """A use of a block, or what calls of a shared model have in common."""

    key: str
    name: str
    is_shared: bool


Place = tuple[Part, ...]
"""From the outermost part inwards."""


@dataclass(slots=True)
class _Use:
    """The use of a block that is being gone through; its nodes follow each other."""

    number: int
    part: Part
    inside: Path
    """Where in it the last node, or the use that it stands in, is written."""
    last: int
    """The number of that node."""


_Uses = dict[tuple[str, str, Path], _Use]
"""By the call of a shared model, the part around, and where the use is written."""


def places(model: Model, *, shared_once: bool) -> dict[str, Place]:
    """The place of every node by its name; `shared_once`: all calls of a shared model are one part."""
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
    return tuple(found)  # what is left is a call of a shared layer: a box by itself


def _is_body(path: Path, block: str) -> bool:
    return block in path and path[path.index(block) - 1] == "blocks"


def _block(uses: _Uses, at: tuple[str, str, Path], name: str, below: Path, node: int) -> Part:
    """The part that a use is; where a repeat goes through the same place again, the body begins anew."""
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
    """Whether a body goes back to an earlier entry, or to the one layer that it has."""
    first, second = last[0], now[0]
    assert isinstance(first, int)
    assert isinstance(second, int)
    return second < first or (now == last and len(now) == 2)
