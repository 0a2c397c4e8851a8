"""Nodes of YAML text, each with its position."""

from dataclasses import dataclass, field

from kerascli.config.yaml.scalars import Scalar
from kerascli.foundation.errors import Place


@dataclass(slots=True)
class ScalarNode:
    place: Place
    value: Scalar
    quoted: bool
    is_absent: bool = False
    """True for the empty value of a key without a value, such as `units:`."""


@dataclass(slots=True)
class ListNode:
    place: Place
    items: list["Node"] = field(default_factory=list)
    flow: bool = False


@dataclass(slots=True)
class MapNode:
    place: Place
    entries: list[tuple[ScalarNode, "Node"]] = field(default_factory=list)
    flow: bool = False


@dataclass(slots=True)
class AliasNode:
    place: Place
    target: "Node"


Node = ScalarNode | ListNode | MapNode | AliasNode
