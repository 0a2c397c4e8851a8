"""Arguments that Keras's operations have and kerascli's lack: the values that import accepts, why it refuses others."""

from collections.abc import Mapping
from typing import Any

from kerascli.interop.keras.differences import ANY

CHANNELS = frozenset({
    "max_pool", "average_pool", "adaptive_max_pool", "adaptive_average_pool", "conv", "depthwise_conv",
    "separable_conv", "conv_transpose",
})  # fmt: skip
"""Names of operations with an argument `data_format`: Keras has channels in axis 1 if the argument says so, kerascli
always last."""

_SPARSE = "kerascli has no sparse tensors"
_ON_TORCH = "Keras refuses it on torch"

IDLE: Mapping[str, Mapping[str, Any]] = {
    **{name: {"data_format": "channels_last"} for name in CHANNELS},
    **{f"segment_{kind}": {"sorted": ANY} for kind in ("sum", "max", "min", "prod")},
    "isin": {"assume_unique": ANY},
    "moments": {"synchronized": False},
    "ctc_decode": {"beam_width": ANY, "top_paths": ANY},
    "dot_product_attention": {"flash_attention": ANY, "attn_logits_soft_cap": None},
    "svd": {"compute_uv": True},
    **{name: {"axis": 0, "retstep": False} for name in ("linspace", "logspace", "geomspace")},
    "layer_normalization": {"rms_scaling": False},
    **{name: {"sparse": False} for name in ("one_hot", "multi_hot")},
    "array": {"sparse": None, "ragged": None},
}
"""Mapping from operation to arguments that only Keras has, each with the value that changes nothing and is accepted."""

REASONS: Mapping[str, str] = {
    "synchronized": f"moments over several devices are not supported; {_ON_TORCH}, too",
    "attn_logits_soft_cap": "Keras supports it for JAX on TPUs only; compute the attention by other operations",
    "axis": f"values are laid out along the first axis only; {_ON_TORCH}, too",
    "retstep": "the second of the two values is not a tensor of the model",
    "rms_scaling": "deprecated in Keras; use rms_normalization",
    "sparse": _SPARSE,
    "ragged": "kerascli has no ragged tensors",
}
"""Mapping from argument to the reason why import refuses every value of it, except the value in IDLE, which has no
effect."""


def remaining(name: str, settings: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Return an operation's arguments without those that have no effect, and the reason why one must be refused (None
    if none)."""
    idle = IDLE.get(name, {})
    left = {key: value for key, value in settings.items() if key not in idle or not _says_nothing(value, idle[key])}
    for key, value in left.items():
        if key in REASONS and key in idle:
            return left, f"'{key}: {value}': {REASONS[key]}"
    return left, None


def _says_nothing(value: Any, usual: Any) -> bool:
    return usual is ANY or value is None or value == usual
