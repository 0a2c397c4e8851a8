"""Activation checkpointing: run layers again in the backward pass, instead of keeping their activations."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from kerascli.foundation import draws


def recompute_in_backward(module: nn.Module) -> None:
    """Make a module keep only its inputs in the forward pass, and run again in the backward pass.

    The second run draws the same random numbers (of dropout ...) as the first.
    """
    forward: Callable[..., Any] = module.forward

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), draws.repeated()

    @wraps(forward)
    def run(*args: Any, **kwargs: Any) -> Any:
        return checkpoint(
            forward, *args, use_reentrant=False, preserve_rng_state=False, context_fn=contexts, **kwargs
        )  # fmt: skip

    module.forward = run
