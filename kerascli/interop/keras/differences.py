"""Tables of the differences between components (layers, losses, optimizers ...) in Keras's files and in configs, for
import and export.

Everything else is mapped by name: classes by the registries, arguments by their own names.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

ANY = object()
"""Marker in tables of ignored arguments: every value of the argument is accepted, because none has an effect."""

BOOKKEEPING = frozenset({
    "name", "dtype", "dtype_policy", "batch_input_shape", "batch_shape", "build_config", "registered_name", "module",
    "shared_object_id", "autocast", "fn", "jit_compile", "is_legacy_optimizer", "input_spec", "trainable",
    "quantization_config",
})  # fmt: skip
"""Keys that Keras adds to any object's config; ignored if kerascli's layer (loss ...) has no argument of that name."""

MERGED = frozenset({"lora_rank", "lora_alpha"})
"""Arguments of LoRA, which import leaves out: the kernels in Keras's files have the updates merged into them."""


def _instead(theirs: str, ours: str) -> Callable[[Any], Any]:
    return lambda value: ours if value == theirs else value


def _only(value: Any) -> Any:
    """Return x for the list [x] of Keras 2."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _upper(value: Any) -> Any:
    """Return x for the list [-x, x]."""
    return value[1] if isinstance(value, list) and len(value) == 2 and value[0] == -value[1] else value


class Difference(NamedTuple):
    """Differences between the arguments of a component (layer, loss ...) in Keras's files and in configs."""

    renamed: Mapping[str, str] = MappingProxyType({})
    """Mapping from the name of an argument in Keras's files to its name in a config."""
    idle: Mapping[str, Any] = MappingProxyType({})
    """Mapping from each argument that only Keras has to the one value that import accepts, and ignores."""
    values: Mapping[str, Callable[[Any], Any]] = MappingProxyType({})
    """Mapping from an argument's name in a config to a function from its value in Keras's files to that in a config."""
    replaced: Mapping[str, str] = MappingProxyType({})
    """Mapping from an argument to the argument that has taken its place in Keras's files if that is not null."""


DIFFERENCES: Mapping[str, Difference] = {
    "batch_normalization": Difference(
        idle={"renorm_momentum": ANY, "renorm": False, "renorm_clipping": None, "fused": ANY},
        values={"axis": _only},
    ),
    "discretization": Difference(replaced={"num_bins": "bin_boundaries"}),
    "embedding": Difference(idle={"input_length": ANY}),
    "string_lookup": Difference(idle={"vocabulary_size": ANY, "oov_method": ANY}),
    **dict.fromkeys(("integer_lookup", "text_vectorization"), Difference(idle={"vocabulary_size": ANY})),
    **dict.fromkeys(
        ("lstm", "gru", "simple_rnn", "lstm_cell", "gru_cell"),
        Difference(idle={"implementation": ANY, "time_major": False}),
    ),
    **dict.fromkeys(("random_color_degeneration", "random_saturation"), Difference(values={"factor": _upper})),
    "random_shear": Difference(values={"x_factor": _upper, "y_factor": _upper}),
    "leaky_relu": Difference(renamed={"alpha": "negative_slope"}),
    "variance_scaling": Difference(values={"distribution": _instead("normal", "truncated_normal")}),
}
"""Mapping from the name of a component (layer, loss ...) to the differences of its arguments between Keras's files and
configs."""

OPTIMIZER = Difference(renamed={"lr": "learning_rate"}, idle={"decay": 0.0, "weight_decay": 0.0})
LOSS = Difference(values={"reduction": _instead("auto", "sum_over_batch_size")})

OPERATIONS: Mapping[str, str] = {
    "BatchNorm": "batch_normalization", "LayerNorm": "layer_normalization", "RMSNorm": "rms_normalization",
}  # fmt: skip
"""Mapping from a class of keras.ops to its function, for classes whose name is not the function's name in camel
case."""

NULLS: Mapping[str, Mapping[str, Any]] = {"integer_lookup": {"num_oov_indices": 1}}
"""Mapping from a layer to its arguments that can be null in a config but not in Keras, each with Keras's value for
null."""
GIVE_WHOLE_NUMBERS = frozenset({"hashing", "hashed_crossing"})
"""Names of layers that need an integer dtype in Keras files if their argument `output_mode` is `int`."""
IN_TRAINING = frozenset({"MixUp", "CutMix"})
"""Names of Keras's layers that mix the samples of a training batch, and return their input at inference."""

EXPORTED: Mapping[str, str] = {"GroupQueryAttention": "GroupedQueryAttention"}
"""Mapping from a layer's class name to the name under which Keras exports the class, and which its files use."""

NAMED_FUNCTIONS = frozenset({"MeanMetricWrapper", "LossFunctionWrapper"})
"""Keras's wrapper classes of metric and loss functions; `fn` in their config names the function."""

_ATTENTION = ("query", "value", "key")
TENSORS_BY_NAME = {"multi_head_attention": _ATTENTION, "group_query_attention": _ATTENTION}
"""Mapping from each layer that Keras calls with several named tensors to their names, in the order of a node's
`inputs`."""
