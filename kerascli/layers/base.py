"""Base classes of layers: immutable settings of a layer, which build a torch module with Keras's weights."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, ClassVar, Literal, TypeVar

import torch
from torch import Tensor, nn

from kerascli.foundation.errors import Fault, Path
from kerascli.foundation.shapes import Shape, TensorSpec
from kerascli.language.component import Component, Invalid, Registry
from kerascli.layers.absent import ABSENT, OF_ANY_LAYER
from kerascli.layers.weight_spec import KINDS, WeightSpec, prefix_of
from kerascli.parts.base import Constraint, Initializer, Regularizer


@dataclass(frozen=True, slots=True)
class Example:
    """Example of a layer's use: shapes of its inputs and outputs without the batch axis, as lists if there are several.

    It is shown by `kerascli explain`, and run by the contract tests and by the parity test with Keras.
    """

    input: Shape | list[Shape]
    output: Shape | list[Shape]
    config: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = "float32"
    high: int = 10
    """Exclusive upper bound of the example's integer inputs, which are drawn at random from 0 on."""
    call: Mapping[str, list[Shape]] = field(default_factory=dict)
    """Mapping from the name of a call argument that is a list of tensors to the shapes of these tensors."""


class ShapeMismatch(ValueError):
    """Error for an input that a layer cannot take; its message says what the layer expects.

    The model graph adds the node and its line in the config.
    """

    def __init__(
        self, text: str, *, hint: str | None = None, argument: str | None = None, span: tuple[int, int] | None = None
    ) -> None:
        super().__init__(text)
        self.fault = Fault(text, (argument,) if argument else (), hint=hint, span=span)


class NotSequences(ShapeMismatch):
    """Error for an input without an axis of steps, for a layer that takes sequences (steps, features)."""

    def __init__(self, x: TensorSpec) -> None:
        hint = None
        if x.rank == 1:
            hint = "put an embedding before it"
        if x.rank == 1 and not x.is_integer and x.shape[0] is not None:
            hint = f"dense takes a row of numbers; reshape: {[*x.shape, 1]} makes steps of it; token ids: an embedding"
        super().__init__(f"needs sequences (steps, features), got {x}", hint=hint)


@dataclass(frozen=True, slots=True)
class CallArgument:
    """Argument of a layer's call (as in Keras's `Layer.call`), in contrast to an argument of the layer's class."""

    kind: Literal["tensor", "tensors", "bool"]
    description: str
    or_false: bool = False
    """Allow `false` for a mask argument: the layer then ignores its input's mask, but still passes it on."""


CallForm = Literal["one", "several", "none", "names"]
"""Form of a layer's inputs: one (class `Layer`), several (class `MergeLayer`), none, or the nodes that its formula
names."""


class BaseLayer(Component):
    """Base class of all layers: settings that build a torch module, whatever the number of inputs (`CallForm`)."""

    call_form: ClassVar[CallForm] = "one"
    mask: ClassVar[Literal["pass", "stop", "make"]] = "stop"
    """Treatment of the input's mask: passed on, dropped (Keras's default), or made by the method `make_mask(x)` of the
    module."""
    uses_mask: ClassVar[bool] = False
    """True: the module's forward takes `mask=`, a bool tensor (N, T) or None."""
    uses_masks: ClassVar[bool] = False
    """True: the module's forward takes `masks=`, for each input a bool mask (N, T) or None."""
    logs: ClassVar[bool] = False
    """True: the layer has no result but a loss or a metric, logged under the node's name."""
    sums: ClassVar[bool] = False
    """True: the metric that the layer logs is summed over the samples of an epoch, not averaged."""
    moves_values: ClassVar[bool] = False
    """True: the layer only moves values, as reshaping does: every value of the result is a value of the input."""
    takes_custom_cell: ClassVar[bool] = False
    """True: in a config's `layers`, the layer's cell may be defined in place, as a small model of one time step."""
    id_count: ClassVar[int | None] = None
    """Number of valid input ids, which start from 0; None: the input does not hold ids."""
    takes_integers: ClassVar[bool] = False
    """True: integer inputs are passed to the module unchanged; false: they are cast to the compute dtype."""
    mixes_samples: ClassVar[bool] = False
    """True: in training a sample's result depends on its whole batch; `time_distributed` then runs step by step."""
    row_independent: ClassVar[bool] = False
    """True: a row's result is independent of other rows and of random numbers, so batches may be joined."""
    loops: ClassVar[bool] = False
    """True: on the CPU a call runs some operations for each step of a sequence: tracing takes as many times as long."""
    call_arguments: ClassVar[Mapping[str, CallArgument]] = {}
    """Arguments of the layer's call (such as `mask`) that a config may set in the layer's node; the module's forward
    takes them by name."""
    examples: ClassVar[tuple[Example, ...]] = ()
    refused: ClassVar[Mapping[str, str]] = OF_ANY_LAYER

    trainable: bool = True
    """Train the layer's weights; false: training does not change them."""

    @property
    def is_fused(self) -> bool:
        """True if all steps of a sequence run as one operation, in training on the CPU, too."""
        return False

    def makes_mask(self) -> bool:
        """Return True if the layer, with its present settings, produces a mask."""
        return self.mask == "make"

    def result_count(self) -> int | None:
        """Return the number of results of a call of the layer; None: one for each name that the calling node lists.

        The module returns a tuple unless it is 1.
        """
        return 1

    def results_of(self, call: Mapping[str, Any]) -> int | None:
        """Return the number of results of a call with the arguments `call`, such as `return_attention_scores: true`."""
        return self.result_count()

    def activity_penalty(self) -> Regularizer | None:
        """Return the regularizer of the layer's results; its penalty, averaged over the batch, is added to the loss."""
        return getattr(self, "activity_regularizer", None)

    def adds_losses(self) -> bool:
        """Return True if a call of the layer adds terms to the loss, other than regularization penalties of weights."""
        return self.activity_penalty() is not None

    def keeps_states(self) -> bool:
        """Return True if the layer carries its states over from one batch to the next."""
        return False

    def masked_results(self) -> int:
        """Return the number of a call's results, counted from the first, to which the layer's output mask applies."""
        return 1

    def output_spec(self, inputs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...] | None:
        """Return shapes and dtypes of the results; None: they are inferred by running the layer on the meta device."""
        return None

    def may_lack_batch(self, index: int) -> bool:
        """Return True if input number `index` (from 0) may lack a batch axis although other inputs have one."""
        return False

    def merge_masks(self, masks: Sequence[Tensor | None], xs: Sequence[Tensor]) -> Tensor | None:
        """Return the mask that the layer passes on, given the masks of its inputs: by default the mask of the first
        input."""
        return masks[0]

    def build_for(self, inputs: tuple[TensorSpec, ...]) -> nn.Module:
        """Return the layer's module for these inputs (shapes, dtypes), on the meta device. Raises ShapeMismatch."""
        raise NotImplementedError

    @classmethod
    def first_argument(cls) -> str | None:
        return next((name for name in cls.model_fields if name not in BaseLayer.model_fields), None)


class Layer(BaseLayer):
    """Base class of layers with one input."""

    def build_for(self, inputs: tuple[TensorSpec, ...]) -> nn.Module:
        return self.build(inputs[0])

    @abstractmethod
    def build(self, x: TensorSpec) -> nn.Module:
        """Return the layer's module for the input `x` (shape, dtype), on the meta device. Raises ShapeMismatch."""


class MergeLayer(BaseLayer):
    """Base class of layers with several inputs, each an argument of the module's forward."""

    call_form = "several"

    def build_for(self, inputs: tuple[TensorSpec, ...]) -> nn.Module:
        return self.build(inputs)

    @abstractmethod
    def build(self, xs: tuple[TensorSpec, ...]) -> nn.Module:
        """Return the layer's module for inputs `xs` (shapes, dtypes), on the meta device. Raises ShapeMismatch."""

    def merge_masks(self, masks: Sequence[Tensor | None], xs: Sequence[Tensor]) -> Tensor | None:
        """Return the layer's output mask: as in Keras, the union of its inputs' masks; None if an input has none."""
        present = [mask for mask in masks if mask is not None]
        return reduce(torch.logical_or, present) if len(present) == len(masks) else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a module's forward with losses, metrics and new weights, which are returned instead of stored in it."""

    value: Any
    losses: Mapping[str, Tensor] = field(default_factory=dict)
    """Mapping from names to scalars that are added to the total loss."""
    metrics: Mapping[str, Tensor] = field(default_factory=dict)
    updates: Mapping[str, Tensor] = field(default_factory=dict)
    """Mapping from a weight's name to its new value; the training step assigns it, then trains trainable weights."""


class WeightedModule(nn.Module):
    """Base class of torch modules with weights, which `add_weight` declares and the model graph initializes later."""

    def __init__(self, settings: Any = None) -> None:
        super().__init__()
        self.settings = settings
        """Layer that built the module, from which `add_weight_of` reads what it declares."""
        self.weight_specs: dict[str, WeightSpec] = {}

    def add_weight(
        self,
        name: str,
        shape: tuple[int, ...] | None,
        *,
        initializer: Initializer,
        regularizer: Regularizer | None = None,
        constraint: Constraint | None = None,
        trainable: bool = True,
        axes: tuple[int, ...] | None = None,
        dtype: torch.dtype | None = None,
        is_state: bool = False,
        prefix: str | None = None,
    ) -> None:
        """Declare a weight with its `shape` in Keras; it becomes the module's parameter, or buffer, called `name`.

        `axes` is the order in which torch's tensor has Keras's axes: (1, 0) for a dense kernel that `F.linear` uses,
        (3, 2, 0, 1) for a Conv2D kernel. `dtype` None: the model's. `shape` None: there is no such weight, the
        attribute is None. Raises ShapeMismatch if the initializer, regularizer or constraint does not fit the weight;
        `prefix`, with which their settings' names begin, is as in `add_weight_of`.
        """
        if shape is None:
            setattr(self, name, None)
            return
        spec = WeightSpec(name, shape, initializer, regularizer, constraint, trainable, axes, dtype, is_state)
        if fault := spec.fault():
            text, kind = fault
            raise ShapeMismatch(text, argument=kind and f"{prefix_of(name) if prefix is None else prefix}{kind}")
        self.weight_specs[name] = spec
        tensor = spec.to_torch(torch.empty(shape, dtype=dtype)).contiguous()
        if trainable:
            self.register_parameter(name, nn.Parameter(tensor))
        else:
            self.register_buffer(name, tensor)

    def add_weight_of(
        self, name: str, shape: tuple[int, ...] | None, *, prefix: str | None = None, **further: Any
    ) -> None:
        """Declare a weight whose initializer, regularizer and constraint are attributes of the module's `settings`.

        Their names begin with `prefix`, by default the weight's name without `_kernel`, as in Keras: a kernel has a
        kernel_initializer, a recurrent_kernel a recurrent_initializer. `further` are arguments of `add_weight`.
        """
        prefix = prefix_of(name) if prefix is None else prefix
        given = {kind: getattr(self.settings, f"{prefix}{kind}") for kind in KINDS}
        self.add_weight(name, shape, prefix=prefix, **given | further)

    def freeze(self) -> None:
        """Make all weights of the module non-trainable."""
        self.weight_specs = {name: replace(spec, trainable=False) for name, spec in self.weight_specs.items()}


_MASK: Mapping[str, CallArgument] = {
    "mask": CallArgument(
        "tensor", "a tensor (batch, time): time steps with 0 are masked, the others are kept", or_false=True
    )
}
"""Call argument of every layer with `uses_mask`: an explicit mask, which replaces the propagated one."""
ANY_CALL: Mapping[str, CallArgument] = {
    "training": CallArgument("bool", "true or false: always run in training mode, or always in inference mode"),
}


def call_arguments(cls: type[BaseLayer]) -> dict[str, CallArgument]:
    """Return the call arguments of a layer: those that Keras passes when the layer is called."""
    if cls.call_form == "none":
        return {}
    arguments = {**ANY_CALL, **(_MASK if cls.uses_mask else {}), **cls.call_arguments}
    return {key: argument for key, argument in arguments.items() if key not in cls.model_fields}


class LayerRegistry(Registry[BaseLayer]):
    """Registry of layers; its error for a layer of Keras that kerascli lacks says what to use instead."""

    def get(self, name: str, path: Path = (), arguments: Any = None) -> type[BaseLayer]:
        hint = ABSENT.get(name.lower().replace("_", "").removeprefix("layer"))
        if hint is not None and self.find(name) is None:
            raise Invalid([Fault(f"there is no layer '{name}'", path, "key" if path else "value", hint=hint)])
        return super().get(name, path, arguments)


LAYERS: Registry[BaseLayer] = LayerRegistry("layer", BaseLayer, ("kerascli.layers", "kerascli.features"), ("layer_",))

L = TypeVar("L", bound=type[BaseLayer])


def layer(*examples: Example, name: str | None = None, aliases: tuple[str, ...] = ()) -> Callable[[L], L]:
    """Return a decorator that registers a layer class with its examples, by default those of its base class.

    The reference documentation shows the first example.
    """

    def register(cls: L) -> L:
        cls.examples = examples or cls.examples
        assert cls.examples, "a layer has an example"
        LAYERS.register(cls, name=name, aliases=aliases)
        return cls

    return register
