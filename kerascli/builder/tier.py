"""How an update is run: eagerly, or as one compiled graph. The choice is made once, said, and kept on resume."""

import shutil
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from kerascli import draws
from kerascli.builder.update import Update, UpdateOutcome
from kerascli.data.loader import Batch
from kerascli.device import Choice

Runner = Callable[[Batch, draws.Draws], UpdateOutcome]
"""(batch, this step's numbers) -> the update's outcome."""


def choose_tier(wanted: bool | Literal["auto"], device: torch.device, recorded: str | None = None) -> Choice:
    """`eager` or `compiled`, with the reason."""
    if recorded is not None:
        return Choice(recorded, "as in the run")
    if wanted is False:
        return Choice("eager", "jit_compile is false")
    if wanted == "auto":
        return Choice("eager", "jit_compile is auto, and compiling takes longer than most runs save")
    if device.type == "cpu" and not any(shutil.which(name) for name in ("g++", "clang++", "c++", "cl")):
        return Choice("eager", "jit_compile is true, but there is no C++ compiler")
    if device.type == "mps":
        return Choice("eager", "jit_compile is true, but torch does not compile for Apple's GPU reliably")
    return Choice("compiled", "jit_compile is true")


def eager(update: Update) -> Runner:
    """Run the module as it is."""

    def run(batch: Batch, numbers: draws.Draws) -> UpdateOutcome:
        with draws.using(numbers):
            return update(batch)

    return run


class Compiled:
    """Run full batches through one graph. Random numbers are made outside of it and are those of the eager tier;
    a smaller last batch runs eagerly, since compiling it too would take longer than it saves."""

    def __init__(self, update: Update, *, full_rows: int) -> None:
        self._update = update
        self._eager = eager(update)
        self._full_rows = full_rows
        self._tape: list[tuple[str, draws.Draw]] | None = None
        self._graph = torch.compile(self._run, dynamic=False)

    def warm(self, batch: Batch, trained: Sequence[Tensor]) -> None:
        """Compile forward and backward on a batch whose results are thrown away. Raises what torch raises."""
        self._tape = self._record(batch)
        numbers = draws.Draws(0, "warm", 0)
        outcome = self._graph(batch, [numbers.make_at(place, draw) for place, draw in self._tape])
        torch.autograd.grad(outcome.judgement.total, trained, allow_unused=True)

    def __call__(self, batch: Batch, numbers: draws.Draws) -> UpdateOutcome:
        if batch.rows != self._full_rows or self._tape is None:
            return self._eager(batch, numbers)
        return self._graph(batch, [numbers.make_at(place, draw) for place, draw in self._tape])

    def _record(self, batch: Batch) -> list[tuple[str, draws.Draw]]:
        """What a step draws, found by a run whose results are thrown away: nothing is stashed on modules."""
        tape = draws.Tape()
        with torch.no_grad(), draws.using(tape):
            self._update(batch)
        return tape.draws

    def _run(self, batch: Batch, numbers: list[Tensor]) -> UpdateOutcome:
        with draws.using(draws.Replay(numbers)):
            return self._update(batch)
