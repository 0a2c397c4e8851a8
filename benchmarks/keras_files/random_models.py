"""Models that nobody thought of: drawn from a seed, with branches, shared layers, and models inside of models."""

from random import Random
from typing import Any

Shape = tuple[int, ...]


class Draw:
    """Draws the layers of one model. Tensors are vectors (F,), sequences (6, F) or images (8, 8, F)."""

    def __init__(self, random: Random, inputs: dict[str, Shape], depth: int, prefix: str = "s") -> None:
        self._random = random
        self._depth = depth
        self._prefix = prefix
        self.tensors = dict(inputs)
        self.unused = list(inputs)
        self.layers: list[Any] = []
        self.shared: dict[str, Any] = {}

    def grow(self, count: int) -> None:
        for _ in range(count):
            move = self._random.choice([self._layer] * 5 + [self._merge] * 2 + [self._shared_layer, self._shared_model])
            move()

    def section(self, *, outputs: int) -> dict[str, Any]:
        """All that leads nowhere becomes vectors, put together or returned."""
        ends = [self._vector(name) for name in list(self.unused)]
        while len(ends) > outputs:
            first, second = ends.pop(0), ends.pop(0)
            ends.append(
                self._add("concatenate", {"inputs": [first, second]}, (self._size(first) + self._size(second),))
            )
        if not self.layers:
            ends = [self._add("dense", {"units": 3, "inputs": ends[0]}, (3,))]
        shared = {"shared": self.shared} if self.shared else {}
        return {**shared, "layers": self.layers, "outputs": ends}

    def _size(self, name: str) -> int:
        return self.tensors[name][-1]

    def _pick(self) -> str:
        pool = self.unused if self.unused and self._random.random() < 0.7 else list(self.tensors)
        return self._random.choice(pool)

    def _add(self, kind: str, settings: dict[str, Any], shape: Shape) -> str:
        name = f"n{len(self.layers)}"
        self.layers.append({kind: {**settings, "name": name}})
        given = settings["inputs"]
        for each in given if isinstance(given, list) else [given]:
            if each in self.unused:
                self.unused.remove(each)
        self.tensors[name] = shape
        self.unused.append(name)
        return name

    def _vector(self, name: str) -> str:
        shape = self.tensors[name]
        if len(shape) == 1:
            return name if name.startswith("n") else self._add("dense", {"units": 3, "inputs": name}, (3,))
        pooling = "global_average_pooling_1d" if len(shape) == 2 else "global_max_pooling_2d"
        return self._add(pooling, {"inputs": name}, (shape[-1],))

    def _settings(self, shape: Shape) -> tuple[str, dict[str, Any], Shape]:
        """A layer with settings for inputs of a shape, and the shape of its result."""
        random, units = self._random, self._random.choice([2, 3, 4])
        activation = random.choice(["linear", "relu", "tanh", "sigmoid"])
        bias = random.random() < 0.7
        same: list[tuple[str, dict[str, Any], Shape]] = [
            ("batch_normalization", {}, shape), ("layer_normalization", {}, shape), ("dropout", {"rate": 0.3}, shape),
            ("activation", {"activation": activation}, shape), ("leaky_relu", {}, shape),
            ("dense", {"units": units, "activation": activation, "use_bias": bias}, (*shape[:-1], units)),
            ("dense", {"units": units, "kernel_initializer": "zeros"}, (*shape[:-1], units)),
        ]  # fmt: skip
        steps = [
            ("lstm", {"units": units, "return_sequences": True}, (6, units)),
            ("gru", {"units": units}, (units,)),
            ("conv_1d", {"filters": units, "kernel_size": 3, "padding": "same"}, (6, units)),
            ("bidirectional", {"layer": {"simple_rnn": {"units": 2}}}, (4,)),
            ("time_distributed", {"layer": {"dense": units}}, (6, units)),
        ]
        images = [
            ("conv_2d", {"filters": units, "kernel_size": 3, "padding": "same", "use_bias": bias}, (8, 8, units)),
            ("separable_conv_2d", {"filters": units, "kernel_size": 2, "padding": "same"}, (8, 8, units)),
            ("depthwise_conv_2d", {"kernel_size": 3, "padding": "same"}, shape),
            ("max_pooling_2d", {"pool_size": 2, "strides": 1, "padding": "same"}, shape),
        ]
        return random.choice(same + (steps if len(shape) == 2 else images if len(shape) == 3 else []) * 2)

    def _layer(self) -> None:
        name = self._pick()
        kind, settings, shape = self._settings(self.tensors[name])
        if self._random.random() < 0.15:
            formula = self._random.choice([f"{name} * 2 + 1", f"tanh({name})", f"relu({name}) - {name}", f"-{name}"])
            self._add("expr", {"value": formula, "inputs": name}, self.tensors[name])
            del self.layers[-1]["expr"]["inputs"]
        else:
            self._add(kind, {**settings, "inputs": name}, shape)

    def _merge(self) -> None:
        name = self._pick()
        alike = [other for other, shape in self.tensors.items() if shape == self.tensors[name] and other != name]
        if alike:
            other = self._random.choice(alike)
            self._add(
                self._random.choice(["add", "multiply", "average"]), {"inputs": [name, other]}, self.tensors[name]
            )

    def _calls(self, thing: str, shape: Shape, result: Shape, count: int) -> None:
        """Call what is shared on tensors of one shape, some of them its own results."""
        for _ in range(count):
            alike = [name for name, other in self.tensors.items() if other == shape]
            fresh = [name for name in alike if name in self.unused]
            self._add(thing, {"inputs": self._random.choice(fresh or alike)}, result)

    def _shared_layer(self) -> None:
        shape = self.tensors[self._pick()]
        kind, settings, result = self._settings(shape)
        thing = f"{self._prefix}{len(self.shared)}"
        self.shared[thing] = {kind: settings}
        self._calls(thing, shape, result, self._random.randint(2, 3))

    def _shared_model(self) -> None:
        if self._depth == 0:
            return
        shape = self.tensors[self._pick()]
        thing = f"{self._prefix}{len(self.shared)}"
        inner = type(self)(self._random, {"input": shape}, self._depth - 1, f"{thing}_")
        inner.grow(self._random.randint(1, 4))
        section = inner.section(outputs=1)
        self.shared[thing] = section
        self._calls(thing, shape, inner.tensors[section["outputs"][0]], self._random.randint(1, 3))
        seen = [layer for each in section["layers"] for layer in each.values() if "name" in layer]
        inside = self._random.choice(seen)["name"]
        if self._random.random() < 0.5 and inside not in section["outputs"]:
            called = self.layers[-1][thing]["name"]
            self._add("activation", {"activation": "tanh", "inputs": f"{called}.{inside}"}, inner.tensors[inside])


def draw(seed: int) -> dict[str, Any]:
    """A model section."""
    random = Random(seed)
    shapes = random.choices([(4,), (4,), (6, 3), (8, 8, 2)], k=random.randint(1, 3))
    inputs = {f"x{number}": shape for number, shape in enumerate(shapes)}
    drawn = Draw(random, inputs, depth=2)
    drawn.grow(random.randint(2, 9))
    return {
        "inputs": {name: list(shape) for name, shape in inputs.items()},
        **drawn.section(outputs=random.randint(1, 3)),
    }
