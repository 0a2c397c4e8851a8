"""Arguments of Keras's operations that ours have not: what says nothing, and what cannot be said, with its reason."""

from collections.abc import Mapping
from typing import Any

from kerascli.interop.keras.differences import ANY

CHANNELS = frozenset({
    "max_pool", "average_pool", "adaptive_max_pool", "adaptive_average_pool", "conv", "depthwise_conv",
    "separable_conv", "conv_transpose",
})  # fmt: skip
"""Operations whose channels Keras may have in axis 1 (`data_format`); ours have them last."""

_SPARSE = "a sparse tensor is none that kerascli has"
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
"""By operation: settings with the one value that says nothing here. (Greedy decoding has no beams.)"""

REASONS: Mapping[str, str] = {
    "synchronized": f"moments over several devices are not there; {_ON_TORCH}, too",
    "attn_logits_soft_cap": "Keras has it for JAX on TPUs alone; write the attention out",
    "axis": f"numbers run along the first axis; {_ON_TORCH}, too",
    "retstep": "one value of the two is no tensor of the model",
    "rms_scaling": "Keras itself has given it up; use rms_normalization",
    "sparse": _SPARSE,
    "ragged": "a ragged tensor is none that kerascli has",
}
"""Why another value is refused."""


def remaining(name: str, settings: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """The settings that say something, and why one of them cannot be said."""
    idle = IDLE.get(name, {})
    left = {key: value for key, value in settings.items() if key not in idle or not _says_nothing(value, idle[key])}
    for key, value in left.items():
        if key in REASONS and key in idle:
            return left, f"'{key}: {value}': {REASONS[key]}"
    return left, None


def _says_nothing(value: Any, usual: Any) -> bool:
    return usual is ANY or value is None or value == usual
