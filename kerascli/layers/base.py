"""What a layer is: frozen settings that build a torch module, weights in Keras's number and meaning."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, ClassVar, Literal, TypeVar

import torch
from torch import Tensor, nn

from kerascli.component import Component, Registry
from kerascli.errors import Fault
from kerascli.layers.absent import OF_ANY_LAYER, LayerRegistry
from kerascli.layers.weight_spec import WeightSpec, part_of
from kerascli.parts.base import Constraint, Initializer, Regularizer
from kerascli.shapes import Shape, TensorSpec


@dataclass(frozen=True, slots=True)
class Example:
    """A documented use: shapes without the batch axis; several inputs or outputs as a list of shapes.

    It feeds the reference (`kerascli explain`), the contract tests and the parity test with Keras.
    """

    input: Shape | list[Shape]
    output: Shape | list[Shape]
    config: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = "float32"
    high: int = 10
    """Integer inputs are drawn from 0 to high - 1."""
    call: Mapping[str, list[Shape]] = field(default_factory=dict)
    """Call arguments that are lists of tensors, by their shapes."""


class ShapeMismatch(ValueError):
    """An input that a layer cannot take; says what it wants, the graph adds the names and lines."""

    def __init__(
        self, text: str, *, hint: str | None = None, argument: str | None = None, span: tuple[int, int] | None = None
    ) -> None:
        super().__init__(text)
        self.fault = Fault(text, (argument,) if argument else (), hint=hint, span=span)


@dataclass(frozen=True, slots=True)
class CallArgument:
    """An argument that Keras passes when a layer is called, not when it is made."""

    kind: Literal["tensor", "tensors", "bool"]
    description: str
    or_false: bool = False
    """Of a mask: with `false` the layer computes without the one that comes along, and hands it on all the same."""


CallForm = Literal["one", "several", "none", "names"]
"""What a layer is called on: one input (`Layer`), several (`MergeLayer`), nothing, or what a formula names."""


class BaseLayer(Component):
    """Settings of a layer, in any call form."""

    call_form: ClassVar[CallForm] = "one"
    mask: ClassVar[Literal["pass", "stop", "make"]] = "stop"
    """What happens to a mask: handed on, dropped (Keras's default), or made by the module's `make_mask(x)`."""
    uses_mask: ClassVar[bool] = False
    """The module's forward takes `mask=` (N, T) bool or None."""
    uses_masks: ClassVar[bool] = False
    """The module's forward takes `masks=`: for each input its mask (N, T) bool, or None."""
    logs: ClassVar[bool] = False
    """It has no result but a figure, logged under the node's name."""
    sums: ClassVar[bool] = False
    """The figure is summed over the samples of an epoch, not averaged."""
    moves_values: ClassVar[bool] = False
    """The values of its result are values of its input."""
    takes_custom_cell: ClassVar[bool] = False
    """As an entry of `layers` its cell may be described there, as a small model of one step."""
    id_count: ClassVar[int | None] = None
    """How many ids, from 0 on, its input may hold; None: its values are no ids."""
    takes_integers: ClassVar[bool] = False
    """Integer inputs are handed over as they are; otherwise they are cast to the compute dtype."""
    mixes_samples: ClassVar[bool] = False
    """In training a sample's result depends on the batch it is in: `time_distributed` then goes step by step."""
    by_rows: ClassVar[bool] = False
    """A row of the batch has its result whatever rows are beside it, nothing is drawn: rows may be put together."""
    loops: ClassVar[bool] = False
    """On the CPU a call is as many operations as a sequence has steps: too many to be noted as a program."""
    call_arguments: ClassVar[Mapping[str, CallArgument]] = {}
    """What may stand beside the settings of a node; the module's forward takes them by name."""
    examples: ClassVar[tuple[Example, ...]] = ()
    refused: ClassVar[Mapping[str, str]] = OF_ANY_LAYER

    trainable: bool = True
    """False: its weights keep their values."""

    def makes_mask(self) -> bool:
        """Whether masks begin here, with these settings."""
        return self.mask == "make"

    def result_count(self) -> int | None:
        """How many tensors a call returns; their module then returns a tuple. None: as many as the node names."""
        return 1

    def results_of(self, call: Mapping[str, Any]) -> int | None:
        """The same for one call, where a call argument (`return_attention_scores`) has a say."""
        return self.result_count()

    def activity_penalty(self) -> Regularizer | None:
        """What the graph adds to the loss for each result, as a mean over the batch."""
        return getattr(self, "activity_regularizer", None)

    def adds_losses(self) -> bool:
        """Whether a call has losses of its own, penalties of weights aside."""
        return self.activity_penalty() is not None

    def keeps_states(self) -> bool:
        """Whether a batch goes on where the batch before it has ended."""
        return False

    def masked_results(self) -> int:
        """How many of the results, counted from the first, have the mask that is handed on."""
        return 1

    def output_spec(self, inputs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...] | None:
        """Only for a layer whose torch code cannot run on the meta device; None: the graph finds out."""
        return None

    def may_lack_batch(self, index: int) -> bool:
        """Whether that input may be without a batch axis beside others that have one."""
        return False

    def merge_masks(self, masks: Sequence[Tensor | None], xs: Sequence[Tensor]) -> Tensor | None:
        """The mask that is handed on: that of the first input."""
        return masks[0]

    def build_for(self, inputs: tuple[TensorSpec, ...]) -> nn.Module:
        """The torch module for a call on `inputs`; raises ShapeMismatch. Runs under the meta device."""
        raise NotImplementedError

    @classmethod
    def first_argument(cls) -> str | None:
        return next((name for name in cls.model_fields if name not in BaseLayer.model_fields), None)


class Layer(BaseLayer):
    """A layer of one input."""

    def build_for(self, inputs: tuple[TensorSpec, ...]) -> nn.Module:
        return self.build(inputs[0])

    @abstractmethod
    def build(self, x: TensorSpec) -> nn.Module:
        """The torch module for inputs like `x`; raises ShapeMismatch. Runs under the meta device."""


class MergeLayer(BaseLayer):
    """A layer of several inputs; its module's forward takes them one by one."""

    call_form = "several"

    def build_for(self, inputs: tuple[TensorSpec, ...]) -> nn.Module:
        return self.build(inputs)

    @abstractmethod
    def build(self, xs: tuple[TensorSpec, ...]) -> nn.Module:
        """The torch module for inputs like `xs`; raises ShapeMismatch. Runs under the meta device."""

    def merge_masks(self, masks: Sequence[Tensor | None], xs: Sequence[Tensor]) -> Tensor | None:
        """The mask that is handed on: as in Keras a step counts if it does in any input, and in one without a mask."""
        present = [mask for mask in masks if mask is not None]
        return reduce(torch.logical_or, present) if len(present) == len(masks) else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a module returns that has more to say than its value; nothing is stashed on modules."""

    value: Any
    losses: Mapping[str, Tensor] = field(default_factory=dict)
    """Scalars to add to the total loss, by name."""
    metrics: Mapping[str, Tensor] = field(default_factory=dict)
    updates: Mapping[str, Tensor] = field(default_factory=dict)
    """New values of the module's weights, by weight name; the step stores them, and trains the trainable on."""


class WeightedModule(nn.Module):
    """A module with weights: each is declared by `add_weight` and filled later by the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.weight_specs: dict[str, WeightSpec] = {}

    def add_weight(
        self,
        name: str,
        shape: tuple[int, ...],
        *,
        initializer: Initializer,
        regularizer: Regularizer | None = None,
        constraint: Constraint | None = None,
        trainable: bool = True,
        axes: tuple[int, ...] | None = None,
        dtype: torch.dtype | None = None,
        is_state: bool = False,
    ) -> None:
        """Declare the weight `name` of Keras's `shape`; it becomes the parameter (or buffer) of that name.

        `axes` is the order in which torch's tensor has Keras's axes: (1, 0) for a dense kernel that
        `F.linear` uses, (3, 2, 0, 1) for a Conv2D kernel. `dtype` None: the model's. Raises ShapeMismatch
        if the initializer, regularizer or constraint cannot take such a weight.
        """
        spec = WeightSpec(name, shape, initializer, regularizer, constraint, trainable, axes, dtype, is_state)
        if fault := spec.fault():
            raise ShapeMismatch(fault[0], argument=fault[1])
        self.weight_specs[name] = spec
        tensor = spec.to_torch(torch.empty(shape, dtype=dtype)).contiguous()
        if trainable:
            self.register_parameter(name, nn.Parameter(tensor))
        else:
            self.register_buffer(name, tensor)

    def add_weight_of(
        self,
        settings: object,
        name: str,
        shape: tuple[int, ...] | None,
        *,
        part: str | None = None,
        initializer: Initializer | None = None,
        axes: tuple[int, ...] | None = None,
    ) -> None:
        """`add_weight` with the initializer, regularizer and constraint that a layer's settings have for `part`.

        By default that is what the weight is called, as in Keras: a kernel has a kernel_initializer, a recurrent_kernel
        a recurrent_initializer. `shape` None: there is no such weight, the attribute is None.
        """
        if shape is None:
            setattr(self, name, None)
            return
        part = part or part_of(name)
        start: Initializer = initializer or getattr(settings, f"{part}_initializer")
        regularizer, constraint = getattr(settings, f"{part}_regularizer"), getattr(settings, f"{part}_constraint")
        self.add_weight(name, shape, initializer=start, regularizer=regularizer, constraint=constraint, axes=axes)

    def freeze(self) -> None:
        """Let its weights keep their values from now on."""
        self.weight_specs = {name: replace(spec, trainable=False) for name, spec in self.weight_specs.items()}


LAYERS: Registry[BaseLayer] = LayerRegistry("layer", BaseLayer, ("kerascli.layers",), ("layer_",))

L = TypeVar("L", bound=type[BaseLayer])


def layer(*examples: Example, name: str | None = None, aliases: tuple[str, ...] = ()) -> Callable[[L], L]:
    """Register a layer; without examples of its own it has its base's. The reference shows the first."""

    def register(cls: L) -> L:
        cls.examples = examples or cls.examples
        assert cls.examples, "a layer has an example"
        LAYERS.register(cls, name=name, aliases=aliases)
        return cls

    return register
