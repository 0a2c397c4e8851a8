"""Arguments of Keras's operations that kerascli's lack: the accepted values, and why others are refused."""

from collections.abc import Mapping
from typing import Any

from kerascli.interop.keras.differences import ANY

CHANNELS = frozenset({
    "max_pool", "average_pool", "adaptive_max_pool", "adaptive_average_pool", "conv", "depthwise_conv",
    "separable_conv", "conv_transpose",
})  # fmt: skip
"""Operations with `data_format`: Keras may have the channels in axis 1, kerascli has them last."""

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
"""Operation -> arguments that kerascli lacks, with the value without effect. (Greedy decoding has no beams.)"""

REASONS: Mapping[str, str] = {
    "synchronized": f"moments over several devices are not supported; {_ON_TORCH}, too",
    "attn_logits_soft_cap": "Keras supports it for JAX on TPUs only; compute the attention by other operations",
    "axis": f"values are laid out along the first axis only; {_ON_TORCH}, too",
    "retstep": "the second of the two values is not a tensor of the model",
    "rms_scaling": "deprecated in Keras; use rms_normalization",
    "sparse": _SPARSE,
    "ragged": "kerascli has no ragged tensors",
}
"""Argument -> reason why a value other than the one in IDLE is refused."""


def remaining(name: str, settings: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Return the arguments of operation `name` that have an effect, and the reason why one is refused, or None."""
    idle = IDLE.get(name, {})
    left = {key: value for key, value in settings.items() if key not in idle or not _says_nothing(value, idle[key])}
    for key, value in left.items():
        if key in REASONS and key in idle:
            return left, f"'{key}: {value}': {REASONS[key]}"
    return left, None


def _says_nothing(value: Any, usual: Any) -> bool:
    return usual is ANY or value is None or value == usual
