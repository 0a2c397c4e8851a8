"""Names in a `model` section: which names a node may have, and which tensor a name refers to."""

import re
from collections import ChainMap, Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

from kerascli.foundation.errors import Fault, Path, Related, nearest, plain_name, show, suggestion
from kerascli.foundation.replaced import replaced
from kerascli.language.component import Invalid
from kerascli.language.expressions.parser import RESERVED
from kerascli.language.expressions.suggestions import suggestion_for
from kerascli.layers.base import LAYERS

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(slots=True)
class _Body:
    """Names in the body that is being read: the model's layers, or those of one block or repeat."""

    tensors: ChainMap[str, str] = field(default_factory=lambda: ChainMap({}))
    """Mapping from node name to output tensor; for a node that its key `when` excludes, to its input tensor."""
    places: dict[str, Path] = field(default_factory=dict)
    """Mapping from each name in the body to the config path of its definition."""
    later: dict[str, Path] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    automatic: dict[str, str] = field(default_factory=dict)
    """Mapping from a node's automatic name in the model to its name within the body, which is numbered like a model of
    its own."""
    sees_targets: bool = False


class Names:
    """Names of nodes and tensors defined so far, while a `model` section is read from top to bottom.

    The body of a block or a `repeat` (templates of layers) is a scope of its own: a node in it gets a name that is
    unique in the model, and within the body the node's name in the config refers to it.
    """

    def __init__(self, outside: "Names | None" = None) -> None:
        self._outside = outside
        """Names that are defined outside of a custom cell, whose nodes cannot use them; they only improve error
        messages."""
        self._body = _Body()
        self._places = self._body.places
        """Mapping from each tensor and node of the model to the config path of its definition."""
        self._without_result: set[str] = set()
        self._broken: set[str] = set()
        self._announced: set[str] = set()
        self._counts = Counter[str]()
        self.previous: str | None = None
        """Name of the tensor that `prev` refers to, the output of the node above; None if there is not exactly one."""
        self._targets: Sequence[str] | None = ()
        """Names of the data's targets; None if they are unknown, so that any name may be a target."""
        self.has_inputs = True
        """If False, the model's inputs could not be read, so that any name may be the name of an input."""

    @contextmanager
    def inside(self, *, sees_outside: bool) -> Iterator[None]:
        """Context manager that opens a scope for the names of the layers in a block or `repeat` (templates of layers).

        With `sees_outside` (a repeat), names are visible in both directions between the scope and the layers outside of
        it; otherwise (a block), in neither.
        """
        outer, inner = self._body, _Body()
        if sees_outside:
            inner = _Body(outer.tensors.new_child(), later=dict(outer.later), sees_targets=outer.sees_targets)
        with replaced(self, "_body", inner):
            yield
        for name in inner.tensors.maps[0].values() if sees_outside else ():
            outer.tensors.setdefault(name, name)

    def unique(self, name: str) -> str:
        """Return a name for a node that no other node of the model has, made from its name in the config.

        Inside a block or repeat, a name that is taken gets a number, as in Keras.
        """
        if self._body.places is self._places or name not in self._places:
            return name
        return next(each for number in count(1) if not self._is_defined(each := f"{name}_{number}"))

    def give(self, name: str, place: Path, *, means: str | None = None) -> None:
        """Define a name, which nodes below in the config can use, for the tensor `means`.

        `means` is a name in the model; default: the same name. `place` is the config path of the definition.
        """
        self._body.tensors[name] = means or name
        self._body.places[name] = place
        if name in self._body.automatic:
            self._body.tensors[self._body.automatic[name]] = means or name
        if means is not None:
            self._places.setdefault(means, place)

    def define_inputs(self, tensors: Mapping[str, str]) -> None:
        """Define names of inputs of a block (template of layers), cell or shared model.

        `tensors` maps these names to the names of the tensors in the model.
        """
        self._body.tensors.update(tensors)

    def take(self, name: str, place: Path, *, node: str, has_outputs: bool = True) -> None:
        """Reserve `name`, a name in the config, for the node that the model calls `node`: no other node can have it.

        `place` is the config path of the node. Without outputs (`has_outputs` is False), a node cannot be used by other
        nodes.
        """
        self._body.places.setdefault(name, place)
        self._places.setdefault(node, place)
        if not has_outputs:
            self._without_result.add(name)

    def see_targets(self, names: Sequence[str] | None) -> None:
        """Define a name `targets.NAME` for each of `names`, the data's targets; None: any such name is valid."""
        self._targets, self._body.sees_targets = names, True
        self.define_inputs({f"targets.{name}": f"targets.{name}" for name in names or ()})

    def knows(self, name: str) -> bool:
        """Return True if a node or tensor of this name has been defined so far."""
        return name in self._body.tensors

    def previous_tensor(self) -> tuple[str, ...]:
        """Return (name,) of the output tensor of the previous node, which the name `prev` means; () without one."""
        return () if self.previous is None else (self.previous,)

    def meanings(self) -> dict[str, str]:
        """Return a mapping from each name defined so far to the name, in the model, of the tensor that it refers to."""
        return dict(self._body.tensors)

    def mark_broken(self, names: Iterable[str]) -> None:
        """Mark the names of nodes that could not be read, so that their uses cause no further errors."""
        for name in names:
            self._broken.update({name, self._body.automatic.get(name, name)})

    def has_broken(self) -> bool:
        """Return True if any node of the model could not be read, so that further errors may follow from it."""
        return bool(self._broken)

    def announce(self, name: str, place: Path) -> None:
        """Record a name that is defined further down, at `place` in the config: an earlier use is no misspelling."""
        self._body.later.setdefault(name, place)
        if self._body.places is self._places:
            self._announced.add(name)

    def refuse(self, name: str, *, own: str | None = None) -> Fault | None:
        """Return a config error if a node, input or view cannot be called `name`, else None.

        An error is returned for a name that is no identifier (ASCII letters, digits and _, not starting with a digit),
        is a reserved word such as `prev`, is the name of a layer type in any spelling, or is already defined in the
        present scope (model, block or repeat). `own` is the one name of a layer type that is allowed: that of the
        node's own layer, such as `dense` for a `dense` layer; None: no such name is.
        """
        if not _NAME.match(name):
            plain = f"; write {meant}" if (meant := plain_name(name)) else ""
            expected = f"expected letters, digits and _, not starting with a digit{plain}"
            return Fault(f"'{name}' is not a valid name: {expected}")
        if name in RESERVED:
            return Fault(f"'{name}' is reserved; choose another name")
        if name != own and LAYERS.find(name) is not None:
            return Fault(f"'{name}' is the name of a layer; choose another name")
        if name in self._body.places:
            related = (Related(f"the other '{name}'", self._body.places[name]),)
            return Fault(f"there is a node '{name}' already", related=related)
        return None

    def automatic(self, base: str) -> str:
        """Return a name for a node without a name in the config, numbered as in Keras: dense, dense_1, dense_2 ...

        `base` is the name without a number.
        """
        name = _numbered(base, self._counts)
        while self._is_defined(name):
            name = _numbered(base, self._counts)
        if self._body.places is not self._places:
            self._body.automatic[name] = _numbered(base, self._body.counts)
        return name

    def find(self, name: object) -> str:
        """Return the name, in the model, of the tensor that a name in the config refers to.

        The definitions above the name in the config count. Raises Invalid (a config error) for an unknown name, and for
        a value that is no string.
        """
        if not isinstance(name, str):
            raise Invalid(f"expected the name of a node, got {show(name)}")
        if name == "prev":
            if self.previous is None:
                raise Invalid("'prev': there is no single node before this one")
            return self.previous
        if name in self._body.tensors:
            return self._body.tensors[name]
        call, dot, _ = name.partition(".")
        if name in self._broken or (dot and call in self._broken):
            return name
        may_be_input = not (self.has_inputs or name in self._without_result or name in self._body.later)
        if (call == "targets" and self._targets is None) if dot else may_be_input:
            return name
        raise Invalid([self._unknown(name)])

    def _unknown(self, name: str) -> Fault:
        """Return the config error for a name that a node uses, but that no node or input above it defines."""
        call, dot, inner = name.partition(".")
        if name in self._without_result:
            return Fault(f"'{name}' has no output, so no node can use it")
        if name in self._body.later:
            text = f"'{name}' is used above its definition; a node may use only nodes above it"
            return Fault(text, related=(Related(f"'{name}' is defined", self._body.later[name]),))
        if name in {"y_true", "y_pred"}:
            meant = "here a target is targets.NAME, a prediction a node"
            return Fault(f"'{name}' exists only in formulas of compile: {meant}")
        if meant := suggestion_for(name):
            return Fault(f"there is no node '{name}'{meant}")
        if dot:
            return self._no_target(inner) if call == "targets" else self._no_inner(call, inner)
        if self._outside is not None and self._outside.knows(name):
            hint = f"pass it to every time step: constants: {{{name}: {name}}} beside 'cell'"
            return Fault(f"'{name}' is a node outside the cell", hint=hint)
        nodes = [name for name in self._body.tensors if "." not in name]
        hint = None if nearest(name, nodes) or not nodes else f"known here: {', '.join(nodes[-8:])}"
        return Fault(f"there is no node '{name}'{suggestion(name, nodes)}", hint=hint)

    def _no_target(self, name: str) -> Fault:
        targets = self._targets or ()
        if self._outside is not None:
            hint = f"pass it as a sequence: inputs: [prev, targets.{name}] beside 'cell'"
            return Fault(f"'targets.{name}': targets are not available in a cell", hint=hint)
        if not self._body.sees_targets:
            hint = "pass it as an input: expr: {value: targets.NAME, name: label}, and call it on [x, label]"
            return Fault(f"'targets.{name}': targets are not available in blocks and shared models", hint=hint)
        if not targets:
            return Fault(f"'targets.{name}': the data has no targets", hint="add targets to data: targets: {y: []}")
        hint = f"data.targets has {', '.join(targets)}"
        return Fault(f"the data has no target '{name}'{suggestion(name, targets)}", hint=hint)

    def _no_inner(self, call: str, inner: str) -> Fault:
        inner_names = [name.removeprefix(f"{call}.") for name in self._body.tensors if name.startswith(f"{call}.")]
        if inner_names:
            hint = None if nearest(inner, inner_names) else f"known there: {', '.join(inner_names[-8:])}"
            return Fault(f"there is no tensor '{inner}' in '{call}'{suggestion(inner, inner_names)}", hint=hint)
        calls = {name.partition(".")[0] for name in self._body.tensors if "." in name}
        if call in self._body.tensors and call not in calls:
            return Fault(f"'{call}' is not a call of a shared model, so it has no inner tensors")
        return Fault(f"there is no call '{call}'{suggestion(call, calls)}")

    def _is_defined(self, name: str) -> bool:
        return any(name in names for names in (self._places, self._broken, self._announced))


def _numbered(base: str, counts: Counter[str]) -> str:
    """Return the next name made of `base`: dense, dense_1, dense_2 ..."""
    counts[base] += 1
    return f"{base}_{counts[base] - 1}" if counts[base] > 1 else base
