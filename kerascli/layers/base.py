"""What a layer is: frozen settings that build a torch module, weights in Keras's number and meaning."""

import math
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from typing import Any, ClassVar, Literal, Self, TypeVar

import torch
from torch import Tensor, nn

from kerascli.component import Component, Registry
from kerascli.errors import Fault
from kerascli.layers.absent import OF_ANY_LAYER, LayerRegistry
from kerascli.parts.base import Constraint, Initializer, Regularizer
from kerascli.shapes import Shape, TensorSpec, show_shape

MAX_PARAMETERS = 2**31
"""Of a whole model: a typing error in `units` must not take the machine down."""


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
"""What a layer is called on: one input, a list of them, nothing, or the tensors that its own settings name."""


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
    takes_described_cell: ClassVar[bool] = False
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


class SourceLayer(BaseLayer):
    """A layer that is called on nothing; its results have no batch axis."""

    call_form = "none"

    def build_for(self, inputs: tuple[TensorSpec, ...]) -> nn.Module:
        return self.build()

    @abstractmethod
    def build(self) -> nn.Module:
        """The torch module; raises ShapeMismatch. Runs under the meta device."""


class NamingLayer(BaseLayer):
    """A layer that names its inputs in its own settings; its module's forward takes them one by one."""

    call_form = "names"

    def build_for(self, inputs: tuple[TensorSpec, ...]) -> nn.Module:
        return self.build(inputs)

    @abstractmethod
    def build(self, xs: tuple[TensorSpec, ...]) -> nn.Module:
        """The torch module for inputs like `xs`; raises ShapeMismatch. Runs under the meta device."""

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """What it calls its inputs."""

    @abstractmethod
    def asks_for_batch(self) -> bool:
        """Whether it needs one more input: a tensor that says how large the batch is."""

    @abstractmethod
    def numbers(self) -> Collection[str]:
        """Names in its settings that stand for numbers, whatever nodes there are."""

    @abstractmethod
    def place_of(self, name: str) -> Fault:
        """Where a name stands in the settings: a fault without a text."""

    @abstractmethod
    def renamed(self, names: Mapping[str, str]) -> Self:
        """The same, of tensors of other names."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a module returns that has more to say than its value; nothing is stashed on modules."""

    value: Any
    losses: Mapping[str, Tensor] = field(default_factory=dict)
    """Scalars to add to the total loss, by name."""
    metrics: Mapping[str, Tensor] = field(default_factory=dict)
    updates: Mapping[str, Tensor] = field(default_factory=dict)
    """New values of the module's weights, by weight name; the step stores them, and trains the trainable on."""


@dataclass(frozen=True, slots=True)
class WeightSpec:
    """A weight as Keras knows it. torch's tensor is `keras_weight.permute(axes)`, no more than that."""

    name: str
    shape: tuple[int, ...]
    initializer: Initializer
    regularizer: Regularizer | None
    constraint: Constraint | None
    trainable: bool
    axes: tuple[int, ...] | None
    dtype: torch.dtype | None
    is_state: bool = False
    """What a stateful layer remembers of the rows of a batch: kept like a weight, but no part of the model."""

    def to_torch(self, weight: Tensor) -> Tensor:
        """Keras's layout -> torch's, as a view."""
        return weight if self.axes is None else weight.permute(self.axes)

    def to_keras(self, tensor: Tensor) -> Tensor:
        """torch's layout -> Keras's, as a view."""
        if self.axes is None:
            return tensor
        inverse = sorted(range(len(self.axes)), key=self.axes.__getitem__)
        return tensor.permute(inverse)


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
        if (count := math.prod(shape)) > MAX_PARAMETERS:
            text = f"needs {count:,} parameters for its {name} {show_shape(shape)}"
            raise ShapeMismatch(f"{text}; the limit is {MAX_PARAMETERS:,} for a whole model")
        spec = WeightSpec(name, shape, initializer, regularizer, constraint, trainable, axes, dtype, is_state)
        _check_parts(spec)
        self.weight_specs[name] = spec
        tensor = spec.to_torch(torch.empty(shape, dtype=dtype)).contiguous()
        if trainable:
            self.register_parameter(name, nn.Parameter(tensor))
        else:
            self.register_buffer(name, tensor)

    def freeze(self) -> None:
        """Let its weights keep their values from now on."""
        self.weight_specs = {name: replace(spec, trainable=False) for name, spec in self.weight_specs.items()}


def _check_parts(spec: WeightSpec) -> None:
    """Try a weight's parts on a weight of no numbers: what would fail in training fails now."""
    meta = torch.empty(spec.shape, device="meta")
    trials: dict[str, Callable[[], object]] = {"initializer": partial(spec.initializer.check, spec.shape)}
    if spec.regularizer is not None:
        trials["regularizer"] = partial(spec.regularizer, meta)
    if spec.constraint is not None:
        trials["constraint"] = partial(spec.constraint, meta)
    for kind, trial in trials.items():
        try:
            trial()
        except (IndexError, ValueError) as error:
            reason = "it has no such axis" if isinstance(error, IndexError) else error
            text = f"the {kind} does not fit {spec.name} {show_shape(spec.shape)}: {reason}"
            # recurrent_kernel has a recurrent_initializer; kernel has a kernel_initializer
            raise ShapeMismatch(text, argument=f"{spec.name.removesuffix('_kernel')}_{kind}") from None


LAYERS: Registry[BaseLayer] = LayerRegistry("layer", BaseLayer, ("kerascli.layers",), ("layer_",))

L = TypeVar("L", bound=type[BaseLayer])


def layer(*examples: Example, name: str | None = None, aliases: tuple[str, ...] = ()) -> Callable[[L], L]:
    """Register a layer; its first example is the one that the reference shows."""
    assert examples, "a layer has an example"

    def register(cls: L) -> L:
        cls.examples = examples
        LAYERS.register(cls, name=name, aliases=aliases)
        return cls

    return register
