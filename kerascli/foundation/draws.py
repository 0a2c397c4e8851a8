"""Random numbers generated from keys (seed, step, layer ...), without a generator's state; training uses no others.

The key of a draw is (seed, stream, step, shard, node, number of the node's draw in this step). Resuming therefore needs
no generator state, a node keeps its numbers when another node is added, and numbers can be generated outside of a
compiled graph and passed to it.
"""

import hashlib
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from kerascli.foundation.replaced import replaced

_LANES = 4  # 16-bit numbers in one int64

Kind = Literal["normal", "uniform", "bernoulli"]


class Draw(NamedTuple):
    """Specification of a random tensor; `parameters` are (low, high) for uniform, (probability,) for bernoulli."""

    kind: Kind
    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    parameters: tuple[float, ...] = ()


class Drawer(Protocol):
    """Protocol of a source of random numbers; `nodes` are the names of the running graph nodes, outermost first."""

    nodes: list[str]

    def make(self, draw: Draw) -> Tensor: ...


class Draws:
    """Source of the random numbers of one step of a random stream (`train`, `evaluate` ...); each step has its own."""

    def __init__(self, seed: int, stream: str, step: int, shard: int = 0) -> None:
        self._key = (seed, stream, step)
        self._prefix = f"{seed}/{stream}/{step}/{shard}"
        self._counts: dict[str, int] = {}
        self.nodes: list[str] = []

    def make(self, draw: Draw) -> Tensor:
        """Return the next random tensor of the graph node that is running."""
        node = "/".join(self.nodes)
        count = self._counts.get(node, 0)
        self._counts[node] = count + 1
        return self.make_at(f"{node}/{count}", draw)

    def repeated(self) -> AbstractContextManager[None]:
        """Return a context manager in whose block the random tensors are drawn that follow the present call."""
        return self._at(list(self.nodes), dict(self._counts))

    @contextmanager
    def _at(self, nodes: list[str], counts: dict[str, int]) -> Iterator[None]:
        before = list(self.nodes), self._counts
        self.nodes[:], self._counts = nodes, counts
        try:
            yield
        finally:
            self.nodes[:], self._counts = before

    def of_shard(self, number: int) -> "Draws":
        """Return the source of random numbers for one shard of the step's batch; shard 0 has those of a whole batch."""
        return Draws(*self._key, number)

    def make_at(self, place: str, draw: Draw) -> Tensor:
        """Return the random tensor with the key `place`: a node's name and the number of its draw (`dropout_1/0`)."""
        return _filled(draw, f"{self._prefix}/{place}")


class Tape(Draws):
    """Recorder of the random draws of a graph, each with node name and number; the tensors that it returns are 0."""

    def __init__(self) -> None:
        super().__init__(0, "tape", 0)
        self.draws: list[tuple[str, Draw]] = []

    def make_at(self, place: str, draw: Draw) -> Tensor:
        self.draws.append((place, draw))
        return torch.zeros(draw.shape, dtype=draw.dtype, device=draw.device)


class Replay:
    """Source that returns random numbers generated before, in the order in which a `Tape` (recorder of draws) recorded
    their draws."""

    def __init__(self, numbers: Sequence[Tensor]) -> None:
        self._numbers = iter(numbers)
        self.nodes: list[str] = []

    def make(self, draw: Draw) -> Tensor:
        return next(self._numbers)


_current: Drawer | None = None


def key_seed(key: str) -> int:
    """Return the 63-bit generator seed derived from a key (seed, stream, step ...), the same on every machine."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little") >> 1


def repeated() -> AbstractContextManager[None]:
    """Return a context manager in whose block the random tensors are drawn again that follow the present call."""
    return _current.repeated() if type(_current) is Draws else nullcontext()  # a tape records all draws


def using(drawer: Drawer) -> AbstractContextManager[None]:
    """Return a context manager in whose block `drawer` is the source of random numbers."""
    return replaced(sys.modules[__name__], "_current", drawer)


def node_stack() -> list[str]:
    """Return the list of names of the running graph nodes, outermost first; a graph pushes and pops them."""
    return [] if _current is None else _current.nodes


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Context manager that adds `seed` to the keys of random draws in its block, so that another seed gives other
    numbers.

    Keras's layer seeds replace the global seed; here they refine the run's, so that every step, shard and call
    still draws its own numbers and a resumed run repeats them.
    """
    if seed is None:
        yield
        return
    nodes = node_stack()
    nodes.append(f"seed={seed}")
    try:
        yield
    finally:
        nodes.pop()


def normal(like: Tensor) -> Tensor:
    """Return standard normal random numbers with the shape, dtype and device of `like`."""
    return _draw(Draw("normal", tuple(like.shape), like.dtype, like.device))


def uniform(like: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Return uniform random numbers in [low, high) with the shape, dtype and device of `like`."""
    return _draw(Draw("uniform", tuple(like.shape), like.dtype, like.device, (low, high)))


def bernoulli(like: Tensor, probability: float, shape: tuple[int, ...] | None = None) -> Tensor:
    """Return a tensor of ones (with `probability`) and zeros, in the dtype, on the device and (unless given) of the
    shape of `like`.

    Each value takes 16 random bits, four values a 64-bit number: several times faster than `Tensor.bernoulli_`,
    with an error of the probability below 2**-17. The numbers are drawn as bytes, so that a traced graph that is given
    them reads a quarter of the memory.
    """
    shape = tuple(like.shape) if shape is None else shape
    return _draw(Draw("bernoulli", shape, torch.uint8, like.device, (probability,))).to(like.dtype)


def _draw(draw: Draw) -> Tensor:
    if draw.device.type == "meta":  # shape inference: nothing is drawn
        return torch.empty(draw.shape, dtype=draw.dtype, device=draw.device)
    if _current is None:
        raise RuntimeError("a draw outside of `draws.using(...)`")
    return _current.make(draw)


def _generator(draw: Draw, key: str) -> torch.Generator:
    return torch.Generator(draw.device).manual_seed(key_seed(key))


def _filled(draw: Draw, key: str) -> Tensor:
    if draw.kind == "bernoulli":
        return _bernoulli(draw, key)
    numbers = torch.empty(draw.shape, dtype=draw.dtype, device=draw.device)
    fill = numbers.normal_ if draw.kind == "normal" else numbers.uniform_
    return fill(*draw.parameters, generator=_generator(draw, key))


def _bernoulli(draw: Draw, key: str) -> Tensor:
    threshold = round(draw.parameters[0] * 2**16)
    if threshold >= 2**16:
        return torch.ones(draw.shape, dtype=draw.dtype, device=draw.device)
    count = math.prod(draw.shape)
    words = -(-count // _LANES)
    if draw.device.type == "cpu":  # NumPy draws and compares 16-bit numbers in a quarter of torch's time
        lanes = _bits(words, key).view(np.uint16)[:count]
        return torch.from_numpy(np.less(lanes, threshold).view(np.uint8)).view(draw.shape)
    drawn = torch.empty(words, dtype=torch.int64, device=draw.device)
    drawn.random_(-(2**63), None, generator=_generator(draw, key))
    return (drawn.view(torch.int16)[:count].view(draw.shape) < threshold - 2**15).to(draw.dtype)


_sfc64 = np.random.SFC64(0)


def _bits(words: int, key: str) -> np.ndarray:
    """Return random 64-bit integers from a generator whose state is the hash of a draw's key: seeding takes longer than
    drawing."""
    state = np.frombuffer(hashlib.blake2b(key.encode(), digest_size=32).digest(), "<u8")
    _sfc64.state = {"bit_generator": "SFC64", "state": {"state": state}, "has_uint32": 0, "uinteger": 0}
    return _sfc64.random_raw(words)
