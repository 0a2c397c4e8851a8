"""Distributions: what each process holds of a model, as PyTorch's DDP and FSDP. They need no torch."""

from typing import Any

from pydantic import ModelWrapValidatorHandler, PrivateAttr, model_validator

from kerascli.language.component import Component, Registry


class Distribution(Component):
    """Base class of distributions: the division of a model and its batches among those that train it."""


DISTRIBUTIONS: Registry[Distribution] = Registry("distribution", Distribution, ("kerascli.parts.distributions",))

REMOVED = "shard_optimizer_state"
"""Setting of `ddp` in configs of earlier versions: false changes nothing, a run recorded with true is only used."""

distribution = DISTRIBUTIONS.named
"""Decorator that registers a class as a distribution that configs can name."""


@distribution()
class DDP(Distribution):
    """Data parallelism: each process holds the whole model, and computes the gradients of a part of each batch."""

    _shards_optimizer_state: bool = PrivateAttr(default=False)

    @property
    def shards_optimizer_state(self) -> bool:
        """True for a config of an earlier version that divides the optimizer's state, as no training does any more."""
        return self._shards_optimizer_state

    @model_validator(mode="wrap")
    @classmethod
    def _without_removed_key(cls, value: Any, handler: ModelWrapValidatorHandler["DDP"]) -> "DDP":
        """Read `shard_optimizer_state` of earlier versions, whose runs have it in their configs."""
        if not isinstance(value, dict) or not isinstance(value.get(REMOVED), bool):
            return handler(value)
        made = handler({key: each for key, each in value.items() if key != REMOVED})
        made._shards_optimizer_state = value[REMOVED]
        return made


@distribution()
class FSDP(Distribution):
    """Fully sharded data parallelism (PyTorch's FSDP2): each process holds a part of each weight, and of its gradient
    and optimizer state.

    Whole weights are gathered, layer by layer, only while the forward or backward pass needs them.
    """

    reshard_after_forward: bool = True
    """Free gathered weights after a forward pass and gather them again for the backward pass; false: keep them."""
    activation_checkpointing: bool = False
    """Store only the inputs of layers in the forward pass, and compute the rest again in the backward pass."""
