"""The one door to random numbers: every draw is keyed, so nothing depends on what was drawn before.

A draw is made from (seed, stream, step, rank, node, how many draws the node made in this step). Resuming
therefore needs no generator state, and a node keeps its numbers when another node is added.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_LANES = 4  # 16-bit numbers in one int64


class Draws:
    """The numbers of one step of one stream (`train`, `evaluate`, ...); made anew each step."""

    def __init__(self, seed: int, stream: str, step: int, rank: int = 0) -> None:
        self._prefix = f"{seed}/{stream}/{step}/{rank}"
        self._counts: dict[str, int] = {}
        self.nodes: list[str] = []

    def generator(self, device: torch.device) -> torch.Generator:
        """A generator for the next draw of the running node."""
        node = "/".join(self.nodes)
        count = self._counts.get(node, 0)
        self._counts[node] = count + 1
        return torch.Generator(device).manual_seed(key_seed(f"{self._prefix}/{node}/{count}"))


_current: Draws | None = None


def key_seed(key: str) -> int:
    """A 63-bit seed from a key, the same on every machine."""
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@contextmanager
def using(draws: Draws) -> Iterator[None]:
    """Draw from `draws` inside the block."""
    global _current
    before, _current = _current, draws
    try:
        yield
    finally:
        _current = before


def node_stack() -> list[str]:
    """The names of the running nodes, outermost first: a graph appends a node's name and pops it after."""
    return [] if _current is None else _current.nodes


def _generator(device: torch.device) -> torch.Generator | None:
    if device.type == "meta":  # shape inference: nothing is drawn
        return None
    if _current is None:
        raise RuntimeError("a draw outside of `draws.using(...)`")
    return _current.generator(device)


def normal(like: Tensor) -> Tensor:
    """Standard normal numbers of the shape, dtype and device of `like`."""
    return torch.empty_like(like).normal_(generator=_generator(like.device))


def uniform(like: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Uniform numbers in [low, high) of the shape, dtype and device of `like`."""
    return torch.empty_like(like).uniform_(low, high, generator=_generator(like.device))


def bernoulli(like: Tensor, probability: float, shape: tuple[int, ...] | None = None) -> Tensor:
    """1 with `probability`, else 0, in the dtype and on the device of `like`; `shape` if not like's.

    Sixteen random bits decide, four decisions to one 64-bit draw: several times faster than
    `Tensor.bernoulli_`, and wrong in the probability by less than 2**-17.
    """
    shape = tuple(like.shape) if shape is None else shape
    generator = _generator(like.device)
    if generator is None:
        return torch.empty(shape, dtype=like.dtype, device=like.device)
    threshold = round(probability * 2**16) - 2**15
    if threshold >= 2**15:
        return torch.ones(shape, dtype=like.dtype, device=like.device)
    count = 1
    for size in shape:
        count *= size
    words = torch.empty(-(-count // _LANES), dtype=torch.int64, device=like.device)
    words.random_(-(2**63), None, generator=generator)
    lanes = words.view(torch.int16)[:count].view(shape)
    return (lanes < threshold).to(like.dtype)
