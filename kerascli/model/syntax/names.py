"""The names of a model section: which may be given, and what each means where it is used."""

import copy
import re
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from kerascli.component import Invalid
from kerascli.errors import Fault, Path, Related, nearest, show, suggestion
from kerascli.expressions.suggestions import suggestion_for
from kerascli.layers.base import LAYERS
from kerascli.model.ir.nodes import RESERVED

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class Names:
    """Grows from the top of the section to its end.

    The body of a block or a repeat has names of its own. A node there gets a name that no other node has; what is
    written means it inside the body.
    """

    def __init__(self, outside: "Names | None" = None) -> None:
        self._outside = outside
        """Names that are not seen, but known: those around a cell."""
        self._tensors: ChainMap[str, str] = ChainMap()
        """What a name means: itself, or for a node that `when` left out, the tensor that it passes on."""
        self._places: dict[str, Path] = {}
        """Where every tensor and every node got its name."""
        self._here = self._places
        """Those of them that were written in this body."""
        self._without_result: set[str] = set()
        self._broken: set[str] = set()
        self._later: dict[str, Path] = {}
        self._announced: set[str] = set()
        self._counts: dict[str, int] = {}
        self._counts_here: dict[str, int] = {}
        self._names_here: dict[str, str] = {}
        """For a node of a body without a name: what it would be called if the body were a model."""
        self.previous: str | None = None
        """What `prev` means: the tensor of the node above, if that is clear."""
        self._targets: Sequence[str] | None = ()
        """Of the data; None: any name may be one."""
        self._sees_targets = False
        self.inputs_known = True
        """False: any name may be that of an input."""

    def fork(self) -> "Names":
        """The names so far, to go on from without touching these."""
        return copy.deepcopy(self)

    @contextmanager
    def inside(self, *, sees_outside: bool) -> Iterator[None]:
        """The body of a repeat, whose names go on to what follows it, or of a block, which is on its own."""
        before = self._tensors, self._here, self._later, self._counts_here, self._names_here
        saw = self._sees_targets
        self._sees_targets = saw and sees_outside
        self._tensors = self._tensors.new_child() if sees_outside else ChainMap()
        self._here, self._counts_here, self._names_here = {}, {}, {}
        self._later = dict(self._later) if sees_outside else {}
        try:
            yield
        finally:
            own = self._tensors.maps[0]
            self._tensors, self._here, self._later, self._counts_here, self._names_here = before
            self._sees_targets = saw
            if sees_outside:
                for name in own.values():
                    self._tensors.setdefault(name, name)

    def unique(self, name: str) -> str:
        """The name that a node written as `name` gets: in a body Keras's number is put to one that is taken."""
        if self._here is self._places or name not in self._places:
            return name
        number = 1
        while self._is_taken(f"{name}_{number}"):
            number += 1
        return f"{name}_{number}"

    def give(self, name: str, place: Path, *, means: str | None = None) -> None:
        """From here on `name` is the tensor `means` (itself)."""
        self._tensors[name] = means or name
        self._here[name] = place
        if name in self._names_here:
            self._tensors[self._names_here[name]] = means or name
        if means is not None:
            self._places.setdefault(means, place)

    def hand_in(self, tensors: Mapping[str, str]) -> None:
        """What a body is called on, by the names that it has there."""
        self._tensors.update(tensors)

    def take(self, name: str, place: Path, *, node: str | None = None) -> None:
        """No other node may have this name; it is that of the node `node` (of the same name)."""
        self._here.setdefault(name, place)
        self._places.setdefault(node or name, place)

    def take_without_result(self, name: str, place: Path, *, node: str | None = None) -> None:
        """A node that can be logged, not used."""
        self.take(name, place, node=node)
        self._without_result.add(name)

    def see_targets(self, names: Sequence[str] | None) -> None:
        """From here on `targets.y` is a tensor; `names` None: that of any name."""
        self._targets, self._sees_targets = names, True
        self.hand_in({f"targets.{name}": f"targets.{name}" for name in names or ()})

    def knows(self, name: str) -> bool:
        """Whether there is such a tensor so far."""
        return name in self._tensors

    def meanings(self) -> dict[str, str]:
        """Every name and its tensor."""
        return dict(self._tensors)

    def spoil(self, names: Iterable[str]) -> None:
        """These could not be read: that is one fault, using them is no other."""
        for name in names:
            self._broken.update({name, self._names_here.get(name, name)})

    def has_spoiled(self) -> bool:
        """Whether something could not be read."""
        return bool(self._broken)

    def announce(self, name: str, place: Path) -> None:
        """A name that is given further down, so that using it too early can be told from a misspelling."""
        self._later.setdefault(name, place)
        if self._here is self._places:
            self._announced.add(name)

    def refuse(self, name: str, *, own: str | None = None) -> Fault | None:
        """Why a name cannot be given; a layer may be called `own`, its own name."""
        if not _NAME.match(name):
            return Fault(f"'{name}' is not a name: letters, digits and _ only, no digit first")
        if name in RESERVED:
            return Fault(f"'{name}' is reserved; choose another name")
        if name != own and LAYERS.find(name) is not None:
            return Fault(f"'{name}' is the name of a layer; choose another name")
        if name in self._here:
            return Fault(
                f"there is a node '{name}' already", related=(Related(f"the other '{name}'", self._here[name]),)
            )
        return None

    def automatic(self, base: str) -> str:
        """Keras's names for what has none: dense, dense_1, dense_2 ..."""
        while True:
            number = self._counts.get(base, 0)
            self._counts[base] = number + 1
            name = f"{base}_{number}" if number else base
            if not self._is_taken(name):
                break
        if self._here is not self._places:
            here = self._counts_here.get(base, 0)
            self._counts_here[base] = here + 1
            self._names_here[name] = f"{base}_{here}" if here else base
        return name

    def find(self, name: object) -> str:
        """The tensor that a name means here. Raises Invalid."""
        if not isinstance(name, str):
            raise Invalid([Fault(f"expected the name of a node, got {show(name)}")])
        if name == "prev":
            if self.previous is None:
                raise Invalid([Fault("'prev': there is no single node before this one")])
            return self.previous
        if name in self._tensors:
            return self._tensors[name]
        call, dot, _ = name.partition(".")
        if name in self._broken or (dot and call in self._broken):
            return name
        if (call == "targets" and self._targets is None) if dot else self._may_be_input(name):
            return name
        raise Invalid([self._unknown(name)])

    def _may_be_input(self, name: str) -> bool:
        return not self.inputs_known and name not in self._without_result and name not in self._later

    def _unknown(self, name: str) -> Fault:
        """Why there is no such tensor."""
        call, dot, inner = name.partition(".")
        if name in self._without_result:
            return Fault(f"'{name}' has no result that could be used")
        if name in self._later:
            text = f"'{name}' is defined further down; a node may be used only below its definition"
            return Fault(text, related=(Related(f"'{name}' is defined", self._later[name]),))
        if name in {"y_true", "y_pred"}:
            return Fault(f"'{name}' stands in formulas of compile: here a target is targets.NAME, a prediction a node")
        if meant := suggestion_for(name):
            return Fault(f"there is no node '{name}'{meant}")
        if dot:
            return self._no_target(inner) if call == "targets" else self._no_inner(call, inner)
        if self._outside is not None and self._outside.knows(name):
            hint = f"hand it in, the same at every step: constants: {{{name}: {name}}} beside 'cell'"
            return Fault(f"'{name}' is a node outside of the cell", hint=hint)
        known = [name for name in self._tensors if "." not in name]
        hint = None if nearest(name, known) or not known else f"known here: {', '.join(known[-8:])}"
        return Fault(f"there is no node '{name}'{suggestion(name, known)}", hint=hint)

    def _no_target(self, name: str) -> Fault:
        known = self._targets or ()
        if self._outside is not None:
            hint = f"hand it in as a sequence: inputs: [prev, targets.{name}] beside 'cell'"
            return Fault(f"'targets.{name}': a cell does not see the targets", hint=hint)
        if not self._sees_targets:
            hint = "hand it in as an input: expr: {value: targets.NAME, name: label}, and call it on [x, label]"
            return Fault(f"'targets.{name}': blocks and shared models do not see the targets", hint=hint)
        if not known:
            return Fault(f"'targets.{name}': the data has no targets", hint="add targets to data: targets: {y: []}")
        hint = f"data.targets has {', '.join(known)}"
        return Fault(f"the data has no target '{name}'{suggestion(name, known)}", hint=hint)

    def _no_inner(self, call: str, inner: str) -> Fault:
        known = [name.removeprefix(f"{call}.") for name in self._tensors if name.startswith(f"{call}.")]
        if known:
            hint = None if nearest(inner, known) else f"known there: {', '.join(known[-8:])}"
            return Fault(f"there is no tensor '{inner}' in '{call}'{suggestion(inner, known)}", hint=hint)
        calls = {name.partition(".")[0] for name in self._tensors if "." in name}
        if call in self._tensors and call not in calls:
            return Fault(f"'{call}' is no call of a shared model: there is nothing inside of it")
        return Fault(f"there is no call '{call}'{suggestion(call, calls)}")

    def _is_taken(self, name: str) -> bool:
        return any(name in known for known in (self._places, self._broken, self._announced))
