"""Collection of the optimizers of a training run: usually one; with `fit.train_step`, one for each of its updates."""

from collections.abc import Mapping

from torch import Tensor

from kerascli.foundation.errors import FileRefused
from kerascli.optimizers.apply import FlatOptimizer


class Optimizers:
    """Optimizers of a training run, by the name of their update in `fit.train_step`; a single one has the name ''.

    `repeats` is the number of times that an update is made in one training step.
    """

    def __init__(self, by_name: Mapping[str, FlatOptimizer], repeats: Mapping[str, int] | None = None) -> None:
        self.by_name = dict(by_name)
        self._repeats = repeats or {}

    @property
    def learning_rates(self) -> dict[str, float]:
        """Mapping from an optimizer's name to the learning rate of its next update."""
        return {name: optimizer.learning_rate for name, optimizer in self.by_name.items()}

    def keep_if_good(self, new: Tensor, old: Tensor) -> Tensor:
        """Return `new` if loss and gradients were finite in all steps so far, else `old`.

        All optimizers stop together.
        """
        return next(iter(self.by_name.values())).guard.choose(new, old)

    def bad_step(self) -> int | None:
        """Return the first step (number, from 1) with a non-finite loss or gradient, or None. Syncs with the device."""
        bad_steps = {name: optimizer.guard.bad_step() for name, optimizer in self.by_name.items()}
        steps = [(bad - 1) // self._repeats.get(name, 1) + 1 for name, bad in bad_steps.items() if bad is not None]
        return min(steps, default=None)

    def finish(self) -> None:
        """Replace the weights by their moving averages, at the end of training, for optimizers with `use_ema`."""
        for optimizer in self.by_name.values():
            optimizer.finish()

    def swap_averages(self) -> None:
        """Swap the weights of optimizers with `use_ema` with their moving averages."""
        for optimizer in self.by_name.values():
            if optimizer.optimizer.use_ema:
                optimizer.swap_averages()

    def state(self) -> dict[str, Tensor]:
        """Return a mapping from names to the state tensors of all optimizers of a training run, not copied.

        With several, names begin with that of the update: `critic/adam/dense/kernel/velocity`.
        """
        states = {name: optimizer.state() for name, optimizer in self.by_name.items()}
        return {_full(name, key): value for name, state in states.items() for key, value in state.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore all optimizers from what `state()` returned. Raises FileRefused if it is of another training run."""
        rest = dict(state)
        for name, optimizer in self.by_name.items():
            own = [key for key in rest if key.startswith(_full(name, ""))]
            optimizer.load_state_dict({key.removeprefix(_full(name, "")): rest.pop(key) for key in own})
        if rest:
            raise FileRefused(f"optimizer state does not match: '{min(rest)}' belongs to something else")


def _full(name: str, key: str) -> str:
    return f"{name}/{key}" if name else key
