"""Convert out-of-memory errors, and errors about tensor values and derivatives, into TrainingStopped.

torch and Python report such errors in several ways; users get one. Invalid values are, for example, indices out of
range and singular matrices.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch

from kerascli.foundation.errors import TrainingStopped, first_line
from kerascli.layers.base import ShapeMismatch

_CPU_WORDS = "can't allocate memory"
"""Words in the message of the plain RuntimeError that torch's CPU allocator raises when it is out of memory."""


STOPS = (RuntimeError, MemoryError, IndexError, ShapeMismatch)
"""Types of exceptions to pass to `stopped_by`, which converts some of them to TrainingStopped."""
_OUTSIDE = ("out of bounds", "out of DATA bounds", "out of range")


def stopped_by(error: Exception, *, hint: str) -> TrainingStopped:
    """Return a TrainingStopped for an error of torch or Python about lack of memory or invalid tensor values.

    Errors about values are those of indices out of range, of singular matrices, and ShapeMismatch. One about a second
    derivative that torch lacks is converted, too. `hint` is the hint
    for a lack of memory. Any other error is raised again.
    """
    text = first_line(error).rstrip(".")
    if "derivative for" in text and "not implemented" in text:
        what = f"the model cannot be trained through gradient(...) in a formula: {text}"
        return TrainingStopped(what, hint="write the operation out, or put stop_gradient around it")
    own = text.startswith(("list ", "tuple ", "string "))  # Python's own message: a bug of kerascli
    algebra = torch.linalg.LinAlgError  # pyright: ignore[reportPrivateImportUsage]
    if isinstance(error, (ShapeMismatch, algebra)) or (not own and any(words in text for words in _OUTSIDE)):
        node = next((f"'{name}'" for name in getattr(error, "__notes__", ())), "a layer or a formula")
        what = f"{node} cannot be computed with the values that it got: {text}"
        return TrainingStopped(what, hint="look for indices out of range, and for singular matrices")
    if not isinstance(error, (torch.OutOfMemoryError, MemoryError)) and _CPU_WORDS not in str(error):
        raise error
    return TrainingStopped(": ".join(["the device is out of memory", *str(error).splitlines()[:1]]), hint=hint)


@contextmanager
def memory_for_batches(hint: str = "a smaller fit.validation_batch_size needs less") -> Iterator[None]:
    """Context manager to run a model on batches: raises TrainingStopped in place of torch's errors for a lack of
    memory, and of a layer's for values that it refuses, such as a token id outside an embedding.

    `hint` is the hint of the error for a lack of memory.
    """
    try:
        yield
    except STOPS as error:
        raise stopped_by(error, hint=hint) from None


memory_for_model = partial(memory_for_batches, "use a smaller model, or a device with more memory")
"""Context manager as `memory_for_batches`, while a model is built."""
