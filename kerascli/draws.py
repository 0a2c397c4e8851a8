"""The one door to random numbers: every draw is keyed, so nothing depends on what was drawn before.

A draw is made from (seed, stream, step, rank, node, how many draws the node made in this step). Resuming
therefore needs no generator state, a node keeps its numbers when another node is added, and a compiled graph can
be given numbers that were made outside of it.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

_LANES = 4  # 16-bit numbers in one int64

Kind = Literal["normal", "uniform", "bernoulli"]


@dataclass(frozen=True, slots=True)
class Draw:
    """What is drawn: `parameters` are (low, high) of uniform, (probability,) of bernoulli."""

    kind: Kind
    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    parameters: tuple[float, ...] = ()


class Drawer(Protocol):
    """Where numbers come from; `nodes` are the names of the running nodes, outermost first."""

    nodes: list[str]

    def make(self, draw: Draw) -> Tensor: ...


class Draws:
    """The numbers of one step of one stream (`train`, `evaluate`, ...); made anew each step."""

    def __init__(self, seed: int, stream: str, step: int, rank: int = 0) -> None:
        self._prefix = f"{seed}/{stream}/{step}/{rank}"
        self._counts: dict[str, int] = {}
        self.nodes: list[str] = []

    def make(self, draw: Draw) -> Tensor:
        """The next numbers of the running node."""
        node = "/".join(self.nodes)
        count = self._counts.get(node, 0)
        self._counts[node] = count + 1
        return self.make_at(f"{node}/{count}", draw)

    def make_at(self, place: str, draw: Draw) -> Tensor:
        """The numbers of a node's n-th draw: `dropout_1/0`."""
        return _FILL[draw.kind](draw, f"{self._prefix}/{place}")


class Tape:
    """Makes nothing of worth, but notes what a graph draws, and where."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self.nodes: list[str] = []
        self.draws: list[tuple[str, Draw]] = []

    def make(self, draw: Draw) -> Tensor:
        node = "/".join(self.nodes)
        count = self._counts.get(node, 0)
        self._counts[node] = count + 1
        self.draws.append((f"{node}/{count}", draw))
        return torch.zeros(draw.shape, dtype=draw.dtype, device=draw.device)


class Replay:
    """Hands out numbers that were made before, in the order of a tape."""

    def __init__(self, numbers: Sequence[Tensor]) -> None:
        self._numbers = numbers
        self._next = 0
        self.nodes: list[str] = []

    def make(self, draw: Draw) -> Tensor:
        number = self._numbers[self._next]
        self._next += 1
        return number


_current: Drawer | None = None


def key_seed(key: str) -> int:
    """A 63-bit seed from a key, the same on every machine."""
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@contextmanager
def using(drawer: Drawer) -> Iterator[None]:
    """Draw from `drawer` inside the block."""
    global _current
    before, _current = _current, drawer
    try:
        yield
    finally:
        _current = before


def node_stack() -> list[str]:
    """The names of the running nodes, outermost first: a graph appends a node's name and pops it after."""
    return [] if _current is None else _current.nodes


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Draws inside the block follow `seed` too: another seed gives other numbers, the rest of the key stays.

    Keras's layer seeds replace the global seed; here they refine the run's, so that every step, rank and call
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
    """Standard normal numbers of the shape, dtype and device of `like`."""
    return _draw(Draw("normal", tuple(like.shape), like.dtype, like.device))


def uniform(like: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Uniform numbers in [low, high) of the shape, dtype and device of `like`."""
    return _draw(Draw("uniform", tuple(like.shape), like.dtype, like.device, (low, high)))


def bernoulli(like: Tensor, probability: float, shape: tuple[int, ...] | None = None) -> Tensor:
    """1 with `probability`, else 0, in the dtype and on the device of `like`; `shape` if not like's.

    Sixteen random bits decide, four decisions to one 64-bit draw: several times faster than
    `Tensor.bernoulli_`, and wrong in the probability by less than 2**-17. What is drawn are bytes, so that a
    program which is given its numbers reads a quarter of the memory.
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


def _normal(draw: Draw, key: str) -> Tensor:
    numbers = torch.empty(draw.shape, dtype=draw.dtype, device=draw.device)
    return numbers.normal_(generator=_generator(draw, key))


def _uniform(draw: Draw, key: str) -> Tensor:
    low, high = draw.parameters
    numbers = torch.empty(draw.shape, dtype=draw.dtype, device=draw.device)
    return numbers.uniform_(low, high, generator=_generator(draw, key))


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
    """64-bit numbers. The generator's state is a hash already: to make one from a seed takes longer than to draw."""
    state = np.frombuffer(hashlib.blake2b(key.encode(), digest_size=32).digest(), "<u8")
    _sfc64.state = {"bit_generator": "SFC64", "state": {"state": state}, "has_uint32": 0, "uinteger": 0}
    return _sfc64.random_raw(words)


_FILL = {"normal": _normal, "uniform": _uniform, "bernoulli": _bernoulli}
