"""Where a component's settings differ between Keras's files and our words: data, read in both directions.

All that is not named here goes by name: classes by the registries, settings by their own names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ANY = object()
"""Whatever value: it decides nothing."""

BOOKKEEPING = frozenset({
    "name", "dtype", "dtype_policy", "batch_input_shape", "batch_shape", "build_config", "registered_name", "module",
    "shared_object_id", "autocast", "fn", "jit_compile", "is_legacy_optimizer", "input_spec", "trainable",
    "lora_rank", "lora_alpha", "quantization_config",
})  # fmt: skip
"""What Keras writes for itself into any config. A metric's name counts and is taken before."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Of one component: Keras's name of a setting -> ours; settings that Keras writes and that say nothing here."""

    renamed: Mapping[str, str] = field(default_factory=dict)
    idle: Mapping[str, Any] = field(default_factory=dict)
    """With the one value that says nothing; another is refused."""
    values: Mapping[str, tuple[tuple[Any, Any], ...]] = field(default_factory=dict)
    """By our name of a setting: pairs of Keras's value and ours."""
    symmetric: frozenset[str] = frozenset()
    """Settings for whose x Keras writes [-x, x]."""
    single: frozenset[str] = frozenset()
    """Settings for whose x Keras 2 writes [x]."""
    inside: "Difference | None" = None
    """Of the things that it has inside."""


_RECURRENT = Difference(idle={"implementation": ANY, "time_major": False})

DIFFERENCES: Mapping[str, Difference] = {
    "batch_normalization": Difference(
        idle={"renorm_momentum": ANY, "renorm": False, "renorm_clipping": None, "synchronized": False, "fused": ANY},
        single=frozenset({"axis"}),
    ),
    "embedding": Difference(idle={"input_length": ANY}),
    "lstm": _RECURRENT,
    "gru": _RECURRENT,
    "simple_rnn": _RECURRENT,
    "lstm_cell": _RECURRENT,
    "gru_cell": _RECURRENT,
    "random_color_degeneration": Difference(symmetric=frozenset({"factor"})),
    "random_saturation": Difference(symmetric=frozenset({"factor"})),
    "random_shear": Difference(symmetric=frozenset({"x_factor", "y_factor"})),
    "leaky_relu": Difference(renamed={"alpha": "negative_slope"}),
    "variance_scaling": Difference(values={"distribution": (("normal", "truncated_normal"),)}),
}
"""By our name of the component."""

OPTIMIZER = Difference(renamed={"lr": "learning_rate"}, idle={"decay": 0.0, "weight_decay": 0.0})
LOSS = Difference(values={"reduction": (("auto", "sum_over_batch_size"),)})

OPERATIONS: Mapping[str, str] = {
    "BatchNorm": "batch_normalization", "LayerNorm": "layer_normalization", "RMSNorm": "rms_normalization",
}  # fmt: skip
"""Classes of keras.ops that are not called like their operation."""

NULLS: Mapping[str, Mapping[str, Any]] = {"integer_lookup": {"num_oov_indices": 1}}
"""Settings that may be null here and not in Keras: what they are then."""
GIVE_WHOLE_NUMBERS = frozenset({"hashing", "hashed_crossing"})
"""Layers that Keras makes with a dtype of whole numbers alone in `output_mode: int`."""

EXPORTED: Mapping[str, str] = {"GroupQueryAttention": "GroupedQueryAttention"}
"""Classes that files call by another name than their own."""

NAMED_FUNCTIONS = frozenset({"MeanMetricWrapper", "LossFunctionWrapper"})
"""Wrappers that Keras makes around a function; `fn` in their config names it."""

TENSORS_BY_NAME: Mapping[str, tuple[str, ...]] = {
    "multi_head_attention": ("query", "value", "key"),
    "group_query_attention": ("query", "value", "key"),
}
"""Layers that Keras calls on several tensors by name; here they are `inputs`, in this order."""
