"""The keys of the `model` section and of all that is written in it: what each takes, its default, what it means.

A field keeps what is written, of whatever type: the readers say what is wrong with a value and go on, so that all
faults of a model are told at once.
"""

from typing import Annotated, Any, ClassVar, get_args

from pydantic import Field, GetCoreSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema, core_schema

from kerascli.layers.base import LAYERS, BaseLayer
from kerascli.parts.base import INITIALIZERS, Initializer
from kerascli.section import BaseSection, section_ref
from kerascli.shapes import DType

INPUT_DTYPES = tuple(dtype for dtype in get_args(DType) if dtype != "string")


class Takes:
    """Marks a field of `Any` that takes a `kind`, which its reader checks; the JSON Schema is that of the kind."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.json_or_python_schema(handler.generate_schema(self.kind), core_schema.any_schema())


NodeName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$")]
_Names = Annotated[list[NodeName], Field(min_length=1)]
_Variable = Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$")]
_Size = Annotated[int, Field(ge=1)]
_Shape = list[_Size | None]
_Layer = Annotated[BaseLayer, LAYERS.field()]

Flag = Annotated[Any, Takes(bool)]
Layers = Annotated[Any, Takes(Annotated[list[Annotated[Any, WithJsonSchema({"x-node": True})]], Field(min_length=1)])]
Outputs = Annotated[Any, Takes(NodeName | _Names)]
InputShape = Annotated[Any, Takes(_Shape)]


class InputSection(BaseSection):
    """An input of a model that is declared with more than its shape."""

    shape: InputShape
    """Sizes without the batch axis; null: any."""
    dtype: Annotated[Any, WithJsonSchema({"type": "string", "enum": list(INPUT_DTYPES)})] = None
    """The type of its values; none: the data's, else float32."""


Inputs = Annotated[Any, Takes(dict[str, _Shape | InputSection])]


class NodeKeys(BaseSection):
    """What may be written beside a layer's settings."""

    name: Annotated[Any, Takes(NodeName)] = None
    """What other nodes and the summary call it."""
    inputs: Annotated[Any, Takes(NodeName | list[NodeName])] = None
    """The node it takes; none: the one before."""
    outputs: Annotated[Any, Takes(NodeName | list[NodeName])] = None
    """A name for every result; '_' drops one."""
    when: Flag = True
    """False: left out, its input is passed on under its name."""


class MergeKeys(BaseSection):
    """What is different beside the settings of a layer of several inputs."""

    inputs: Annotated[Any, Takes(Annotated[list[NodeName], Field(min_length=2)])]
    """The nodes that are merged."""


class RNNKeys(NodeKeys):
    """What may be written beside the settings of an `rnn`, whose cell may be described."""

    initial_state: Annotated[Any, Takes(NodeName | list[NodeName] | dict[str, NodeName])] = None
    """The states to start from, in the order in which they are returned."""
    constants: Annotated[Any, Takes(dict[str, NodeName])] = None
    """Of a described cell: tensors that every step sees, by the cell's names for them."""


class FirstLayerKeys(BaseSection):
    """What may be written beside the settings of the first layer alone."""

    input_shape: InputShape = None
    """Of the first layer: the shape of the model's input, without the batch axis."""


class SharedSection(BaseSection, json_schema_extra={"x-section": "model.shared"}):
    """A model that is called like a layer; its weights are the same in every call."""

    inputs: Annotated[Any, Takes(_Names | dict[str, _Shape | InputSection | None])] = None
    """What it is called on, by name; none: one tensor, `input`."""
    shared: "SharedThings" = None
    """What its layers call."""
    layers: Layers
    """The nodes, from the inputs on."""
    outputs: Outputs = None
    """The nodes that it returns; none: the last one."""
    trainable: Flag = True
    """False: none of its layers is trained."""


SharedThings = Annotated[Any, Takes(dict[str, _Layer | SharedSection])]


class BlockSection(BaseSection, json_schema_extra={"x-section": "model.blocks"}):
    """A template of layers; each use makes new ones."""

    parameters: Annotated[Any, WithJsonSchema({"type": "object", "additionalProperties": {}})] = None
    """Names that its layers use as $name, with defaults; empty: to be given."""
    inputs: Outputs = None
    """What it is used on, by name; none: one tensor, `input`."""
    layers: Layers
    """The layers of each use."""
    outputs: Outputs = None
    """The nodes that it returns; none: the last one."""


class RepeatTimes(BaseSection):
    """Layers that are made a number of times."""

    times: Annotated[Any, Takes(Annotated[int, Field(ge=0)])]
    """How many times."""
    index: Annotated[Any, Takes(_Variable)] = None
    """A name for the number of the round, which its layers use as $name; the first is 0."""
    layers: Layers
    """The layers of each round."""


class RepeatEach(BaseSection):
    """Layers that are made once for each value of a list."""

    each: Annotated[Any, WithJsonSchema({"type": "array"})]
    """The values."""
    as_: Annotated[Any, Takes(_Variable)] = Field(alias="as")
    """A name for the value, which its layers use as $name."""
    layers: Layers
    """The layers of each round."""


class ViewSection(BaseSection, json_schema_extra={"x-section": "model.views"}):
    """A further model over the same weights, to be run after training."""

    inputs: Inputs = None
    """What it is given, with shapes; none: it goes on from the model's nodes."""
    layers: Layers = None
    """Its own nodes; they call what is shared, and have no weights."""
    outputs: Outputs = None
    """The nodes that it returns; none: the last one."""


class StateSection(BaseSection):
    """A state of a described cell: a tensor that goes from step to step."""

    key_list: ClassVar[str] = "it has"

    shape: Annotated[Any, Takes(_Size | list[_Size])]
    """Its size, or sizes, without the batch axis."""
    initializer: Annotated[Any, Takes(Annotated[Initializer, INITIALIZERS.field()])] = None
    """What it starts from; none: zeros."""
    trainable: Flag = False
    """True: what it starts from is learned."""


class CellSection(BaseSection, json_schema_extra={"x-section": "rnn.cell"}):
    """A cell of `rnn` that is described: a small model of one step."""

    title: ClassVar[str] = "cell"
    key_list: ClassVar[str] = "it has"

    inputs: Outputs = None
    """Names for what a step has of each sequence; none: one tensor, `input`."""
    states: Annotated[Any, Takes(dict[str, _Size | list[_Size] | StateSection])]
    """What goes from step to step: sizes, and what it starts from."""
    layers: Layers
    """What is done at each step."""
    next: Annotated[Any, Takes(dict[str, NodeName])]
    """The new value of each state."""
    outputs: Outputs = None
    """What a step gives out; none: the last node."""


class ModelSection(BaseSection, json_schema_extra={"x-section": "model"}):
    """The layers: a list in which each takes the one before it, or the inputs it names."""

    title: ClassVar[str] = "model"

    init_from: Annotated[Any, section_ref("model.init_from")] = None
    """Weights to begin with: another run's, a file's, published ones; none: new ones."""
    inputs: Inputs = None
    """Shapes without the batch axis; none: the data's."""
    shared: SharedThings = None
    """Layers and models by name, called like layers: one set of weights each."""
    blocks: Annotated[Any, Takes(dict[str, BlockSection])] = None
    """Templates by name, used like layers."""
    layers: Layers
    """The nodes, from the inputs on."""
    outputs: Outputs = None
    """The nodes that the model returns; none: the last one."""
    views: Annotated[Any, Takes(dict[str, ViewSection])] = None
    """Further models over the same weights, by name."""
