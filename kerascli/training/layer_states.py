"""What stateful layers remember of the batch before: begun anew for a pass over rows, kept aside for another one."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from kerascli.model.runtime.weights import Weight


def forget(states: Sequence[Weight]) -> None:
    """Begin with the first batch of all."""
    with torch.no_grad():
        for state in states:
            state.tensor.zero_()


class Memory:
    """The states of a pass that is no training: those of the training stay as they are."""

    def __init__(self, states: Sequence[Weight]) -> None:
        self._weights = {state.name: state for state in states}
        self._values = {name: torch.zeros_like(weight.tensor) for name, weight in self._weights.items()}

    @contextmanager
    def of_batch(self) -> Iterator[None]:
        """While the model is called on the next batch."""
        before = {name: weight.tensor.clone() for name, weight in self._weights.items()}
        self._put(self._values)
        try:
            yield
        finally:
            self._put(before)

    def keep(self, updates: Mapping[str, Tensor]) -> None:
        """Remember what a batch has left."""
        self._values = {name: updates.get(name, value) for name, value in self._values.items()}

    def _put(self, values: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in values.items():
                self._weights[name].tensor.copy_(value)
