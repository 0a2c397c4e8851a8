"""Keys of the `model` section and of the sections nested in it: type, default and documentation of each.

A field keeps the value as written, of any type: the readers check it, report what is wrong and go on, so that all
config errors of a model are reported at once.
"""

from typing import Annotated, Any, ClassVar, get_args

from pydantic import Field, GetCoreSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema, core_schema

from kerascli.foundation.shapes import DType
from kerascli.language.section import BaseSection, section_ref
from kerascli.layers.base import LAYERS, BaseLayer
from kerascli.parts.base import INITIALIZERS, Initializer

INPUT_DTYPES = tuple(dtype for dtype in get_args(DType) if dtype != "string")


class Takes:
    """Annotation of a field of type `Any` with the type of its values, `kind`, for the JSON Schema.

    A parser checks the values later.
    """

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
    """Config section that declares an input of a model: its shape without the batch axis, and its dtype."""

    shape: InputShape
    """Shape without the batch axis; null for an axis of any size."""
    dtype: Annotated[Any, WithJsonSchema({"type": "string", "enum": list(INPUT_DTYPES)})] = None
    """Data type of the input's values; by default the data type of the data's input, else float32."""


Inputs = Annotated[Any, Takes(dict[str, _Shape | InputSection])]


class NodeKeys(BaseSection):
    """Keys that every layer in `model.layers` may have besides its own arguments (`name`, `inputs` ...)."""

    name: Annotated[Any, Takes(NodeName)] = None
    """Name of the node, to refer to it; by default the layer's name, numbered like Keras's."""
    inputs: Annotated[Any, Takes(NodeName | list[NodeName])] = None
    """Input node or nodes, by name; by default the previous node."""
    outputs: Annotated[Any, Takes(NodeName | list[NodeName])] = None
    """Names of the layer's output tensors, one for each; '_' discards a tensor."""
    when: Flag = True
    """If false, leave the node out; a reference to its name then means the node's input."""


class MergeKeys(BaseSection):
    """Keys that a layer with several inputs (`add`, `concatenate` ...) has besides its own arguments."""

    inputs: Annotated[Any, Takes(Annotated[list[NodeName], Field(min_length=2)])]
    """Nodes to merge, two or more."""


class RNNKeys(NodeKeys):
    """Keys that an `rnn` in `model.layers` may have besides its own arguments."""

    initial_state: Annotated[Any, Takes(NodeName | list[NodeName] | dict[str, NodeName])] = None
    """Nodes that give the initial states: a list in the order of the returned states, or mapping from state to node."""
    constants: Annotated[Any, Takes(dict[str, NodeName])] = None
    """Tensors passed to a custom cell unchanged at every time step: mapping from name within the cell to node."""


class FirstLayerKeys(BaseSection):
    """Keys that only the first layer of a model may have besides its own arguments."""

    input_shape: InputShape = None
    """Shape of the model's input, without the batch axis; only on the first layer."""


class SharedSection(BaseSection, json_schema_extra={"x-section": "model.shared"}):
    """A shared model, which is called like a layer and has the same weights in every call."""

    inputs: Annotated[Any, Takes(_Names | dict[str, _Shape | InputSection | None])] = None
    """Names of the shared model's inputs, optionally with shapes; by default one, `input`."""
    shared: "SharedThings" = None
    """Layers and models that only this shared model's layers call: mapping from name to layer or model."""
    layers: Layers
    """Nodes of the shared model in order, each below the nodes that it takes as inputs."""
    outputs: Outputs = None
    """Names of the nodes whose tensors the model returns; by default the last node."""
    trainable: Flag = True
    """If false, freeze all layers of the shared model."""
    init_from: Annotated[Any, section_ref("model.init_from")] = None
    """Pretrained weights of this shared model, without `map`; by default the layers' initializers."""


class SharedBase(BaseSection, json_schema_extra={"x-section": "model.shared.base"}):
    """A base: a shared model whose layers and weights are those of a network of kerascli, a run, or a file of Keras."""

    title: ClassVar[str] = "a base"

    application: str | None = None
    """Network that `list applications` shows; beside it stand its arguments, such as include_top: false."""
    run: str | None = None
    """Run whose model to take: `latest`, its name, a prefix of it, or a path."""
    file: str | None = None
    """Model that Keras saved (.keras, .h5), relative to the config's folder."""
    until: NodeName | _Names | None = None
    """Node whose output the base returns, or several; layers that do not lead to it are left out; default: all."""
    trainable: bool = True
    """If false, freeze all layers of the base."""


SharedThings = Annotated[Any, Takes(dict[str, _Layer | SharedSection | SharedBase])]
SharedSection.model_rebuild()


class BlockSection(BaseSection, json_schema_extra={"x-section": "model.blocks"}):
    """A block: a template of layers; each use creates new layers with weights of their own."""

    parameters: Annotated[Any, WithJsonSchema({"type": "object", "additionalProperties": {}})] = None
    """Parameters, written $name in the layers: mapping from name to default; null if every use must give a value."""
    inputs: Outputs = None
    """Names of the block's inputs; by default one, `input`."""
    layers: Layers
    """Nodes that each use of the block adds to the model."""
    outputs: Outputs = None
    """Names of the nodes whose tensors each use of the block returns; by default the last node."""


class RepeatTimes(BaseSection):
    """Layers that are repeated a number of times, with new weights each time."""

    times: Annotated[Any, Takes(Annotated[int, Field(ge=0)])]
    """Number of repetitions; 0 leaves the layers out."""
    index: Annotated[Any, Takes(_Variable)] = None
    """Name of the loop index, counted from 0 and written $name in the layers."""
    layers: Layers
    """Nodes that each repetition adds to the model."""


class RepeatEach(BaseSection):
    """Layers that are repeated once for each value of a list, with new weights each time."""

    each: Annotated[Any, WithJsonSchema({"type": "array"})]
    """List of values; the layers are repeated once for each of them."""
    as_: Annotated[Any, Takes(_Variable)] = Field(alias="as")
    """Name of the loop variable, written $name in the layers."""
    layers: Layers
    """Nodes that each repetition adds to the model."""


class ViewSection(BaseSection, json_schema_extra={"x-section": "model.views"}):
    """A view: a model with the main model's weights, such as an encoder alone, to run after training; never trained."""

    inputs: Inputs = None
    """Mapping from input name to shape; by default the view continues from the model's inputs and nodes."""
    layers: Layers = None
    """Nodes of the view; they call shared layers and models, and have no weights of their own."""
    outputs: Outputs = None
    """Names of the nodes whose tensors the view returns; by default the last node."""


class StateSection(BaseSection):
    """A state of a custom cell: a tensor that is carried from one time step to the next."""

    key_list: ClassVar[str] = "it has"

    shape: Annotated[Any, Takes(_Size | list[_Size])]
    """Size or shape of the state, without the batch axis."""
    initializer: Annotated[Any, Takes(Annotated[Initializer, INITIALIZERS.field()])] = None
    """Initializer of the state at the first time step; by default zeros."""
    trainable: Flag = False
    """If true, the initial state is a trainable weight."""


class CellSection(BaseSection, json_schema_extra={"x-section": "rnn.cell"}):
    """A custom cell of an `rnn` layer: a small model of one time step."""

    title: ClassVar[str] = "cell"
    key_list: ClassVar[str] = "it has"

    inputs: Outputs = None
    """Names of the time step's slices of the rnn's input sequences; by default one, `input`."""
    states: Annotated[Any, Takes(dict[str, _Size | list[_Size] | StateSection])]
    """States carried from step to step: mapping from name to size, shape, or a mapping with shape and initializer."""
    layers: Layers
    """Nodes that are computed at each time step, in order."""
    next: Annotated[Any, Takes(dict[str, NodeName])]
    """Mapping from each state to the node that gives its next value."""
    outputs: Outputs = None
    """Names of the nodes that give the output of a time step; by default the last node."""


class ModelSection(BaseSection, json_schema_extra={"x-section": "model"}):
    """The model: a list of layers, each applied to the previous one or to the nodes that its `inputs` names."""

    title: ClassVar[str] = "model"

    init_from: Annotated[Any, section_ref("model.init_from")] = None
    """Pretrained weights to start from: a run's, a file's or published weights; by default the layers' initializers."""
    inputs: Inputs = None
    """Mapping from input name to shape (without batch axis), or to shape and dtype; by default the data's inputs."""
    shared: SharedThings = None
    """Mapping from name to shared layer or model, which is called like a layer, with the same weights in every call."""
    blocks: Annotated[Any, Takes(dict[str, BlockSection])] = None
    """Mapping from name to block: a template of layers, used like a layer, with new weights in every use."""
    layers: Layers
    """Nodes of the model in order, each below the nodes that it takes as inputs."""
    outputs: Outputs = None
    """Names of the nodes whose tensors the model returns; by default the last node."""
    views: Annotated[Any, Takes(dict[str, ViewSection])] = None
    """Mapping from name to view: a model that uses this model's weights, such as an encoder alone, after training."""
