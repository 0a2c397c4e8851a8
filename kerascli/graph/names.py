"""The names of a model section: which may be given, and what each means where it is used."""

import re
from collections.abc import Iterable

from kerascli.component import Invalid
from kerascli.errors import Fault, Path, Related, nearest, show, suggestion
from kerascli.graph.model import RESERVED
from kerascli.layers.base import LAYERS

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class Names:
    """Grows from the top of the section to its end."""

    def __init__(self) -> None:
        self._tensors: dict[str, str] = {}
        """What a name means: itself, or for a node that `when` left out, the tensor that it passes on."""
        self._places: dict[str, Path] = {}
        """Where every tensor and every node got its name."""
        self._without_result: set[str] = set()
        self._broken: set[str] = set()
        self._later: dict[str, Path] = {}
        self._counts: dict[str, int] = {}
        self.previous: str | None = None
        """What `prev` means: the tensor of the node above, if that is clear."""
        self.inputs_known = True
        """False: any name may be that of an input."""

    def give(self, name: str, place: Path, *, means: str | None = None) -> None:
        """From here on `name` is the tensor `means` (itself)."""
        self._tensors[name] = means or name
        self._places[name] = place

    def take(self, name: str, place: Path) -> None:
        """No other node may have this name."""
        self._places.setdefault(name, place)

    def take_without_result(self, name: str, place: Path) -> None:
        """A node that can be logged, not used."""
        self.take(name, place)
        self._without_result.add(name)

    def knows(self, name: str) -> bool:
        """Whether there is such a tensor so far."""
        return name in self._tensors

    def spoil(self, names: Iterable[str]) -> None:
        """These could not be read: that is one fault, using them is no other."""
        self._broken.update(names)

    def announce(self, name: str, place: Path) -> None:
        """A name that is given further down, so that using it too early can be told from a misspelling."""
        self._later.setdefault(name, place)

    def refuse(self, name: str, *, own: str | None = None) -> Fault | None:
        """Why a name cannot be given; a layer may be called `own`, its own name."""
        if not _NAME.match(name):
            return Fault(f"'{name}' is not a name: letters, digits and _ only, no digit first")
        if name in RESERVED:
            return Fault(f"'{name}' is reserved; choose another name")
        if name != own and LAYERS.find(name) is not None:
            return Fault(f"'{name}' is the name of a layer; choose another name")
        if name in self._places:
            return Fault(
                f"there is a node '{name}' already", related=(Related(f"the other '{name}'", self._places[name]),)
            )
        return None

    def automatic(self, base: str) -> str:
        """Keras's names for what has none: dense, dense_1, dense_2 ..."""
        while True:
            number = self._counts.get(base, 0)
            self._counts[base] = number + 1
            name = f"{base}_{number}" if number else base
            if not any(name in known for known in (self._places, self._broken, self._later)):
                return name

    def find(self, name: object) -> str:
        """The tensor that a name means here. Raises Invalid."""
        if not isinstance(name, str):
            raise Invalid([Fault(f"expected the name of a node, got {show(name)}")])
        if name == "prev":
            if self.previous is None:
                raise Invalid([Fault("'prev': there is no single node before this one")])
            name = self.previous
        if name in self._tensors:
            return self._tensors[name]
        if name in self._broken:
            return name
        if name in self._without_result:
            raise Invalid([Fault(f"'{name}' has no result that could be used")])
        if name in self._later:
            text = f"'{name}' is defined further down; a node may be used only below its definition"
            raise Invalid([Fault(text, related=(Related(f"'{name}' is defined", self._later[name]),))])
        if not self.inputs_known:
            return name
        known = [*self._tensors]
        hint = None if nearest(name, known) or not known else f"known here: {', '.join(known[-8:])}"
        raise Invalid([Fault(f"there is no node '{name}'{suggestion(name, known)}", hint=hint)])
