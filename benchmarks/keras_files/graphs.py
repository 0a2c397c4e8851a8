"""Random graphs of Keras: shared layers and models, masks, several inputs and outputs, keras.ops between."""

import re
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any

import keras
import numpy as np

from benchmarks.keras_files.cases import Given, depends_on_input, draw_weights
from benchmarks.keras_files.random_models import Draw, Shape
from benchmarks.keras_files.round_trip import KerasModel, Made, NotMade
from kerascli.layers.base import LAYERS

COUNT = 100
TRIES = 30
_TOKENS = 9
_ALIKE: dict[str, dict[str, Any]] = {
    "softmax": {"axis": -1}, "tanh": {}, "abs": {}, "square": {}, "sin": {}, "gelu": {"approximate": False},
    "clip": {"x_min": -1.0, "x_max": 1.5}, "roll": {"shift": 1, "axis": 1}, "flip": {"axis": -1},
    "cumsum": {"axis": -1}, "sort": {"axis": -1}, "silu": {}, "negative": {}, "expm1": {},
}  # fmt: skip
"""Functions of one tensor whose result has its shape."""
_OF_STEPS = ("mean", "max", "sum", "std", "median", "logsumexp")
_PAIRS = ("add", "subtract", "multiply", "maximum", "minimum", "arctan2", "logaddexp")


class KerasDraw(Draw):
    """Draws entries that Keras has words for: operations by name, masks, attention, and models of several results."""

    def grow(self, count: int) -> None:
        moves = [self._layer] * 4 + [self._merge, self._merged, self._shared_layer, self._shared_model, self._masking,
                 self._attention, self._states, self._two_results] + [self._operation] * 3  # fmt: skip
        for _ in range(count):
            self._random.choice(moves)()

    def tokens(self, name: str) -> None:
        """An input of token ids goes through an embedding that hides zeros."""
        random = self._random
        settings = {"input_dim": _TOKENS, "output_dim": random.choice([2, 3]), "mask_zero": random.random() < 0.8}
        self._add("embedding", {**settings, "inputs": name}, (6, settings["output_dim"]))
        del self.tensors[name]

    def _operation(self) -> None:
        name = self._pick()
        shape = self.tensors[name]
        alike = [other for other, its in self.tensors.items() if its == shape]
        move = self._random.random()
        if move < 0.2 and len(shape) == 2:
            self._ops(self._random.choice(_OF_STEPS), [name], shape[1:], axis=1)
        elif move < 0.3:
            axis, size = self._random.choice([(1, shape[0]), (-1, shape[-1])]) if len(shape) == 1 else (-1, shape[-1])
            self._ops("concatenate", [[name, self._random.choice(alike)]], (*shape[:-1], 2 * size), axis=axis)
        elif move < 0.4:
            self._ops("where", [["greater", name, self._random.choice(alike)], name, self._random.choice(alike)], shape)
        elif move < 0.65:
            self._ops(self._random.choice(_PAIRS), [name, self._random.choice(alike)], shape)
        else:
            function = self._random.choice(list(_ALIKE))
            self._ops(function, [name], shape, **_ALIKE[function])

    def _ops(self, function: str, arguments: list[Any], shape: Shape, **settings: Any) -> None:
        inputs = [name for name in _flat(arguments) if name in self.tensors]
        call = {"function": function, "arguments": arguments, "settings": settings}
        self._add("ops", {"call": call, "inputs": inputs}, shape)

    def _masking(self) -> None:
        steps = [name for name, shape in self.tensors.items() if len(shape) == 2]
        if steps:
            name = self._random.choice(steps)
            self._add("masking", {"mask_value": 0.0, "inputs": name}, self.tensors[name])

    def _merged(self) -> None:
        name = self._pick()
        shape = self.tensors[name]
        others = [other for other, its in self.tensors.items() if its[:-1] == shape[:-1]]
        other = self._random.choice(others)
        if self._random.random() < 0.5:
            size = shape[-1] + self._size(other)
            self._add("concatenate", {"axis": -1, "inputs": [name, other]}, (*shape[:-1], size))
        elif self.tensors[other] == shape:
            kind = self._random.choice(["maximum", "minimum", "subtract", "average"])
            self._add(kind, {"inputs": [name, other]}, shape)

    def _attention(self) -> None:
        steps = [name for name, shape in self.tensors.items() if len(shape) == 2]
        if not steps:
            return
        query = self._random.choice(steps)
        size = self._size(query)
        alike = [name for name in steps if self._size(name) == size]
        kind, settings = self._random.choice([
            ("attention", {"use_scale": True}), ("additive_attention", {}),
            ("multi_head_attention", {"num_heads": 2, "key_dim": 3}),
            ("group_query_attention", {"head_dim": 2, "num_query_heads": 2, "num_key_value_heads": 1}),
        ])  # fmt: skip
        self._add(kind, {**settings, "inputs": [query, self._random.choice(alike)]}, (6, size))

    def _states(self) -> None:
        """A recurrent layer of which the states are used."""
        steps = [name for name, shape in self.tensors.items() if len(shape) == 2]
        if steps:
            kind, states = self._random.choice([("lstm", 2), ("gru", 1), ("simple_rnn", 1)])
            sequences = self._random.random() < 0.6
            settings = {"units": 3, "return_state": True, "return_sequences": sequences}
            shapes: list[Shape] = [(6, 3) if sequences else (3,), *[(3,)] * states]
            self._several(kind, {**settings, "inputs": self._random.choice(steps)}, shapes)

    def _two_results(self) -> None:
        """A nested model of two inputs and two results, called once or twice."""
        if self._depth == 0:
            return
        first, second = self.tensors[self._pick()], self.tensors[self._pick()]
        thing = f"{self._prefix}{len(self.shared)}"
        inner = KerasDraw(self._random, {"a": first, "b": second}, self._depth - 1, f"{thing}_")
        inner.grow(self._random.randint(2, 4))
        section = inner.section(outputs=2)
        self.shared[thing] = {**section, "inputs": ["a", "b"]}
        shapes = [inner.tensors[name] for name in section["outputs"]]
        for _ in range(self._random.randint(1, 2)):
            given = [self._random.choice([n for n, its in self.tensors.items() if its == s]) for s in (first, second)]
            self._several(thing, {"inputs": given}, shapes)

    def _several(self, kind: str, settings: dict[str, Any], shapes: list[Shape]) -> None:
        name = self._add(kind, settings, shapes[0])
        names = [name, *(f"{name}_{i}" for i in range(1, len(shapes)))]
        self.layers[-1][kind]["results"] = names
        self.tensors.update(zip(names, shapes, strict=True))
        self.unused += names[1:]


def models(seed: int = 0) -> Iterator[KerasModel]:
    """Yield the graphs."""
    for number in range(COUNT):
        # some ten layers, of which each may double the rounding of the one before
        yield KerasModel(f"graph {number}", partial(drawn_graph, f"{seed} {number}"), least_spread=0)


def drawn_graph(seed: str) -> Made:
    """Draw a graph whose outputs depend on the inputs."""
    why: Exception = ValueError("no output depends on the inputs")
    for number in range(TRIES):
        digest = zlib.crc32(f"{seed} {number}".encode())
        keras.backend.clear_session()
        try:
            made = _graph(Random(digest), digest)
            if depends_on_input(made):
                return made
        except ValueError as error:
            why = error
    raise NotMade(f"Keras took none of {TRIES} graphs; at last: {why}") from why


def _graph(random: Random, digest: int) -> Made:
    given = random.choices(
        [Given((4,)), Given((6, 3), padded=True), Given((8, 8, 2)), Given((6,), "integers", _TOKENS, padded=True)],
        k=random.randint(1, 3),
    )
    inputs = {f"x{number}": each for number, each in enumerate(given)}
    drawn = KerasDraw(random, {name: _shape(each) for name, each in inputs.items()}, depth=2)
    for name, each in inputs.items():
        if each.kind == "integers":
            drawn.tokens(name)
    drawn.grow(random.randint(3, 10))
    section = drawn.section(outputs=random.randint(1, 3))
    tensors = {name: keras.Input(each.shape, dtype=each.dtype, name=name) for name, each in inputs.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = keras.Model(list(tensors.values()), _results(section, dict(tensors)))
    generator = np.random.default_rng(digest)
    draw_weights(model, generator)
    return Made(model, {name: each.values(generator) for name, each in inputs.items()})


def _shape(given: Given) -> Shape:
    return tuple(size or 0 for size in given.shape)


def _results(section: Mapping[str, Any], tensors: dict[str, Any], views: Sequence[str] = ()) -> list[Any]:
    """Return the outputs of a section, and after them `views`: tensors inside of it, by name."""
    shared: dict[str, Any] = {}
    for entry in section["layers"]:
        ((kind, settings),) = entry.items()
        own = {key: value for key, value in settings.items() if key not in {"inputs", "name", "results", "value"}}
        if kind == "ops":
            tensors[settings["name"]] = _operation(**own["call"], tensors=tensors)
        elif kind == "expr":
            tensors[settings["name"]] = _formula(settings["value"], tensors)
        else:
            given = settings["inputs"]
            values = [tensors[name] for name in given] if isinstance(given, list) else tensors[given]
            thing = section.get("shared", {}).get(kind)
            inside = _views(kind, section["layers"]) if thing is not None else []
            if thing is None:
                layer = _layer(kind, own)
            else:
                layer = shared[kind] = shared.get(kind) or _shared(thing, values, inside)
            by_position = layer.__class__.__name__ in {"MultiHeadAttention", "GroupedQueryAttention"}
            found = keras.tree.flatten(layer(*values) if by_position else layer(values))
            names = settings.get("results", [settings["name"]])
            tensors.update(zip(names, found, strict=False))
            tensors.update({f"{names[0]}.{view}": found[len(names) + i] for i, view in enumerate(inside)})
    return [tensors[name] for name in (*section["outputs"], *views)]


def _views(thing: str, entries: Sequence[Any]) -> list[str]:
    """Return the tensors inside of a shared model that entries ask for: `called.inside`."""
    called = {settings["name"] for entry in entries for kind, settings in entry.items() if kind == thing}
    asked = [name for entry in entries for settings in entry.values() for name in _flat([settings.get("inputs", [])])]
    pairs = [name.split(".") for name in asked if "." in name]
    return list(dict.fromkeys(inside for call, inside in pairs if call in called))


def _shared(thing: Mapping[str, Any], values: Any, views: Sequence[str]) -> Any:
    """Return a shared layer or model of Keras; the model's last results are `views`."""
    if "layers" not in thing:
        ((kind, settings),) = thing.items()
        return _layer(kind, settings)
    listed = values if isinstance(values, list) else [values]
    inputs = {name: keras.Input(x.shape[1:]) for name, x in zip(thing.get("inputs", ["input"]), listed, strict=True)}
    results = _results(thing, dict(inputs), views)
    ends = list(inputs.values())
    return keras.Model(ends if len(ends) > 1 else ends[0], results if len(results) > 1 else results[0])


def _layer(kind: str, settings: Any) -> Any:
    cls: Any = LAYERS.find(kind)
    made = getattr(keras.layers, cls.__name__)
    if not isinstance(settings, Mapping):
        return made(settings)
    own = dict(settings)
    if "layer" in own:
        ((inner, its),) = own["layer"].items()
        own["layer"] = _layer(inner, its)
    return made(**own)


def _operation(function: str, arguments: list[Any], settings: dict[str, Any], tensors: Mapping[str, Any]) -> Any:
    def value(argument: Any) -> Any:
        if isinstance(argument, list) and argument[0] == "greater":
            return keras.ops.greater(*map(value, argument[1:]))
        return [value(each) for each in argument] if isinstance(argument, list) else tensors[argument]

    return getattr(keras.ops, function)(*map(value, arguments), **settings)


def _formula(text: str, tensors: Mapping[str, Any]) -> Any:
    """Compute one of the formulas that `Draw` writes."""
    name = next(word for word in re.findall(r"\w+", text) if word in tensors)
    x = tensors[name]
    match re.sub(rf"\b{name}\b", "x", text):
        case "x * 2 + 1":
            return x * 2 + 1
        case "tanh(x)":
            return keras.ops.tanh(x)
        case "relu(x) - x":
            return keras.ops.relu(x) - x
        case "-x":
            return -x
        case other:
            raise LookupError(other)


def _flat(arguments: list[Any]) -> list[str]:
    return [name for each in arguments for name in (_flat(each) if isinstance(each, list) else [each])]
