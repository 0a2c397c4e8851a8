"""States of stateful layers (RNNs): reset before each pass over the data, separate for training and evaluation."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from kerascli.model.runtime.weights import Weight


def reset_states(states: Sequence[Weight]) -> None:
    """Set the states of stateful layers (such as `lstm` with `stateful: true`) to zeros, in place."""
    with torch.no_grad():
        for state in states:
            state.tensor.zero_()


class EvaluationStates:
    """States of stateful layers in evaluation or prediction, separate from their states in training."""

    def __init__(self, states: Sequence[Weight]) -> None:
        self._weights = {state.name: state for state in states}
        self._values = {name: torch.zeros_like(weight.tensor) for name, weight in self._weights.items()}

    @contextmanager
    def for_batch(self) -> Iterator[None]:
        """Context manager that replaces the states of training by the states of the evaluation, and restores them."""
        before = {name: weight.tensor.clone() for name, weight in self._weights.items()}
        self._put(self._values)
        try:
            yield
        finally:
            self._put(before)

    def keep(self, updates: Mapping[str, Tensor]) -> None:
        """Store the new states of stateful layers after a batch; `updates` maps weight names to new values."""
        self._values = {name: updates.get(name, value) for name, value in self._values.items()}

    def _put(self, values: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in values.items():
                self._weights[name].tensor.copy_(value)
