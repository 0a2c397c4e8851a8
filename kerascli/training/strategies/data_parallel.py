"""Data parallel training: each process has the whole model, and computes its shards of each batch."""

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from kerascli.data.batches.loader import Portion
from kerascli.foundation.device import Choice
from kerascli.training.forward_pass import Eager, Runner
from kerascli.training.strategies.base import Strategy
from kerascli.training.strategies.group import Group
from kerascli.training.strategies.sharding import Sharding

if TYPE_CHECKING:
    from kerascli.training.execution_mode import Request
    from kerascli.training.strategies.sharded_runner import Division


class DataParallel(Strategy):
    """Strategy in which each process has the whole model; gradients, losses and metric states of all shards are added.

    With `shards`, results have the same bits on every number of processes that divides `shards`, also on one.
    """

    def __init__(self, group: Group, shards: int | None = None) -> None:
        super().__init__(group)
        self.sharding = Sharding(shards or group.world.size, group.world.rank, group.world.size)
        self._in_order = shards is not None

    @property
    def portion(self) -> Portion:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.sharding.portion

    @cached_property
    def division(self) -> "Division":
        from kerascli.training.strategies.sharded_runner import Division

        return Division(self.sharding, self.group, in_order=self._in_order)

    def runner(self, request: "Request", recorded: str | None = None) -> tuple[Runner, Choice]:
        from kerascli.training.strategies.sharded_runner import ShardedRunner

        whole, examples = request.batches[0], self.division.examples(request.batches)
        with self.division.trial(examples[0]):
            run, mode = self._agreed(replace(request, batches=examples), recorded)
        module = Eager(request.forward_pass, request.live_scales)
        return ShardedRunner(run, module, self.division, whole), mode

    def _agreed(self, request: "Request", recorded: str | None) -> tuple[Runner, Choice]:
        """Return (function that runs a forward pass, its mode): the slowest mode that a process has chosen."""
        from kerascli.training.execution_mode import MODES, make_runner

        run, mode = make_runner(request, recorded)
        modes = self.group.agree(mode.value)
        slowest = min(modes, key=MODES.index)
        if mode.value == slowest:
            return run, mode
        run, mode = make_runner(request, slowest)
        return run, replace(mode, reason=f"as in process {modes.index(slowest)}")
