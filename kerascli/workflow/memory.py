"""No memory left: torch and Python have several ways of saying so, users are told in one."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from kerascli.errors import TrainingStopped

_CPU_WORDS = "can't allocate memory"
"""torch's allocator for the CPU raises a plain RuntimeError."""


def out_of_memory(error: RuntimeError | MemoryError, *, hint: str) -> TrainingStopped:
    """The error as a person is told of it. Raises it again where it is about something else."""
    if not isinstance(error, (torch.OutOfMemoryError, MemoryError)) and _CPU_WORDS not in str(error):
        raise error
    lines = str(error).splitlines()
    return TrainingStopped(": ".join(["the device has no memory left", *lines[:1]]), hint=hint)


@contextmanager
def memory_for_model() -> Iterator[None]:
    """Around the making of a model and its optimizer."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        raise out_of_memory(error, hint="a smaller model, or a device with more memory") from None


@contextmanager
def memory_for_batches() -> Iterator[None]:
    """Around running a model over rows."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        raise out_of_memory(error, hint="a smaller fit.validation_batch_size needs less") from None
