"""The optimizers of a training: as a rule one; with `train_step` one for each update, by its name."""

from collections.abc import Mapping

from torch import Tensor

from kerascli.errors import FileRefused
from kerascli.optimizers.apply import FlatOptimizer


class Optimizers:
    """Optimizers by the name of their update; the name of one alone is empty.

    `repeats` says how often an update is done in a step of the training.
    """

    def __init__(self, by_name: Mapping[str, FlatOptimizer], repeats: Mapping[str, int] | None = None) -> None:
        self.by_name = dict(by_name)
        self._repeats = repeats or {}

    @property
    def learning_rates(self) -> dict[str, float]:
        """The rate of each one's next update."""
        return {name: optimizer.learning_rate for name, optimizer in self.by_name.items()}

    def keep_if_good(self, new: Tensor, old: Tensor) -> Tensor:
        """`new`, or `old` where a step was bad: they all stop together."""
        return next(iter(self.by_name.values())).keep_if_good(new, old)

    def bad_step(self) -> int | None:
        """The first step of the training, counted from 1, that was not finite, or None. Waits for the device."""
        found = {name: optimizer.bad_step() for name, optimizer in self.by_name.items()}
        steps = [(bad - 1) // self._repeats.get(name, 1) + 1 for name, bad in found.items() if bad is not None]
        return min(steps, default=None)

    def finish(self) -> None:
        """At the end of training the weights become their moving averages, where those are kept."""
        for optimizer in self.by_name.values():
            optimizer.finish()

    def swap_averages(self) -> None:
        """Exchange weights and their moving averages, where those are kept."""
        for optimizer in self.by_name.values():
            if optimizer.optimizer.use_ema:
                optimizer.swap_averages()

    def state(self) -> dict[str, Tensor]:
        """All state, by update where there are several: `critic/adam/dense/kernel/velocity`. No copies."""
        states = {name: optimizer.state() for name, optimizer in self.by_name.items()}
        return {_full(name, key): value for name, state in states.items() for key, value in state.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a `state`; raises FileRefused when it is another training's."""
        rest = dict(state)
        for name, optimizer in self.by_name.items():
            own = [key for key in rest if key.startswith(_full(name, ""))]
            optimizer.load_state_dict({key.removeprefix(_full(name, "")): rest.pop(key) for key in own})
        if rest:
            raise FileRefused(f"optimizer state does not match: '{min(rest)}' belongs to something else")


def _full(name: str, key: str) -> str:
    return f"{name}/{key}" if name else key
