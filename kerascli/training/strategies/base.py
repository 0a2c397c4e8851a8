"""Strategy of training on one process, and base class of those by which several share training and evaluation."""

from collections.abc import Callable
from itertools import islice

import torch
from torch import Tensor

from kerascli.data.batches.loader import WHOLE, BatchSource, Portion
from kerascli.foundation.device import Choice
from kerascli.training.evaluate import EvaluatedBatches
from kerascli.training.forward_pass import Request, Runner
from kerascli.training.objectives.train_step import GraphStep
from kerascli.training.strategies.group import Group
from kerascli.training.strategies.shared_evaluation import SharedBatches


class Strategy:
    """Strategy of training on one process, and base class of those by which several share the work on a model.

    All processes must call the same methods in the same order.
    """

    is_divided = False
    """True if each process holds a part of the model's weights."""
    portion: Portion = WHOLE
    """Portion of each training batch that this process reads."""

    def __init__(self, group: Group | None = None) -> None:
        self.group = group or Group()

    @property
    def leads(self) -> bool:
        """True on process 0, the one that prints and writes files."""
        return self.group.world.leads

    @property
    def is_alone(self) -> bool:
        """True if only one process trains, so that nothing is divided among processes or sent to them."""
        return self.group.world.size == 1

    def divider(self, device: torch.device) -> Callable[[GraphStep], None] | None:
        """Return a function that divides a model's weights among the processes (FSDP); None if each process holds all.

        The function changes the model in place, which must be on the meta device; `device` is that of the computation.
        """
        return None

    @property
    def across(self) -> Callable[[Tensor], Tensor] | None:
        """Function that sums a tensor over all processes, for norms of divided weights; None without FSDP."""
        return self.group.added if self.is_divided else None

    def runner(self, request: Request, recorded: str | None) -> tuple[Runner, Choice]:
        """Return (function that runs a forward and backward pass with the other processes, its execution mode).

        The function takes (batch, random numbers) and returns the StepOutcome (losses, gradients ...) of the whole
        batch. `request` has the forward pass, and example batches that are not yet divided among the processes;
        `recorded` is the execution mode (eager, traced, compiled) that the resumed run recorded, None for a new run.
        """
        from kerascli.training.execution_mode import make_runner  # loads the compiler, which an evaluation spares

        return make_runner(request, recorded)

    def evaluated(
        self, source: BatchSource, limit: int | None = None, *, ends_on_signal: bool = False
    ) -> EvaluatedBatches:
        """Return the first `limit` batches of a source (None: all) for evaluation, divided among the processes.

        With `ends_on_signal`, a signal (SIGINT ...) ends the evaluation after the batches in work, one per process.
        """
        if self.is_alone:
            return EvaluatedBatches(islice(source.epoch(0), limit))
        return SharedBatches(source, self.group, limit, is_divided=self.is_divided, ends_on_signal=ends_on_signal)
