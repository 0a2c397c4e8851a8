"""States of stateful layers: reset before a pass over rows, and kept separate between training and evaluation."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from kerascli.model.runtime.weights import Weight


def reset_states(states: Sequence[Weight]) -> None:
    """Reset the states of stateful layers to zeros."""
    with torch.no_grad():
        for state in states:
            state.tensor.zero_()


class EvaluationStates:
    """States of stateful layers in an evaluation or prediction, separate from those of training."""

    def __init__(self, states: Sequence[Weight]) -> None:
        self._weights = {state.name: state for state in states}
        self._values = {name: torch.zeros_like(weight.tensor) for name, weight in self._weights.items()}

    @contextmanager
    def for_batch(self) -> Iterator[None]:
        """Give the layers these states while the model runs on the next batch, then those of training again."""
        before = {name: weight.tensor.clone() for name, weight in self._weights.items()}
        self._put(self._values)
        try:
            yield
        finally:
            self._put(before)

    def keep(self, updates: Mapping[str, Tensor]) -> None:
        """Store the layers' states after a batch, from the weights that it updated."""
        self._values = {name: updates.get(name, value) for name, value in self._values.items()}

    def _put(self, values: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in values.items():
                self._weights[name].tensor.copy_(value)
