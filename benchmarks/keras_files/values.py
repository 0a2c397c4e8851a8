"""Random values for the constructor arguments of Keras's layers, by the name of the argument."""

import inspect
from collections.abc import Callable
from random import Random
from typing import Any

import keras

I, R, C, L = keras.initializers, keras.regularizers, keras.constraints, keras.layers
_NO_ACTIVATIONS = {"glu": "changes the shape", "sparsemax": "no distribution in Keras on torch"}
ACTIVATIONS = [
    name
    for name in dir(keras.activations)
    if inspect.isfunction(getattr(keras.activations, name))
    and name not in {"get", "serialize", "deserialize", *_NO_ACTIVATIONS}
]
_INITIALIZERS: tuple[Any, ...] = (
    "glorot_uniform", "glorot_normal", "he_normal", "he_uniform", "lecun_normal", "lecun_uniform", "zeros", "ones",
    lambda: I.RandomNormal(0.1, 0.3, seed=3), lambda: I.RandomUniform(-0.4, 0.4), lambda: I.TruncatedNormal(0.0, 0.2),
    lambda: I.VarianceScaling(2.0, mode="fan_avg", distribution="uniform"), lambda: I.Constant(0.3),
)  # fmt: skip
_REGULARIZERS: tuple[Any, ...] = (None, "l1", "l2", "l1_l2", lambda: R.L1L2(0.01, 0.02), lambda: R.L2(0.1))
_CONSTRAINTS: tuple[Any, ...] = (
    None, "non_neg", "unit_norm", "max_norm", lambda: C.MaxNorm(1.5, axis=0), lambda: C.MinMaxNorm(0.2, 1.1, rate=0.9),
)  # fmt: skip
_ACTIVATION_LAYERS: tuple[Any, ...] = (
    lambda: L.LeakyReLU(negative_slope=0.2), lambda: L.ELU(alpha=0.7), lambda: L.ReLU(max_value=1.5, threshold=0.1),
)  # fmt: skip


class UnknownArgument(Exception):
    """An argument or a class of Keras that nothing is known of: it is new, and needs values or a reason."""


def sizes(random: Random, rank: int, low: int, high: int) -> Any:
    """Return one integer for all axes, or one for each."""
    if random.random() < 0.5:
        return random.randint(low, high)
    return tuple(random.randint(low, high) for _ in range(rank))


def _choice(*values: Any) -> Callable[[Random, int], Any]:
    def draw(random: Random, rank: int) -> Any:
        value = random.choice(values)
        return value() if callable(value) else value

    return draw


def _uniform(low: float, high: float) -> Callable[[Random, int], Any]:
    return lambda random, rank: round(random.uniform(low, high), 3)


def _sizes(low: int, high: int) -> Callable[[Random, int], Any]:
    return lambda random, rank: sizes(random, rank, low, high)


_FLAG = _choice(True, False)
_ENDINGS = {
    "_initializer": _choice(*_INITIALIZERS),
    "_regularizer": _choice(*_REGULARIZERS),
    "_constraint": _choice(*_CONSTRAINTS),
}
_VALUES: dict[str, Callable[[Random, int], Any]] = {
    "activation": _choice(None, *ACTIVATIONS, *_ACTIVATION_LAYERS),
    "alpha": _uniform(0.1, 1.5),
    "center": _FLAG,
    "bias_axes": _choice(None, "c"),
    "data_format": _choice("channels_last", "channels_first", None),
    "depth_multiplier": _choice(1, 2, 3),
    "dilation_rate": lambda random, rank: random.choice([1, sizes(random, rank, 1, 2)]),
    "dropout": _uniform(0, 0.5),
    "epsilon": _choice(1e-3, 1e-5, 0.1),
    "filters": _choice(2, 4, 6),
    "flash_attention": _choice(None, False),
    "go_backwards": _FLAG,
    "groups": _choice(1, 2),
    "keepdims": _FLAG,
    "kernel_size": _sizes(1, 3),
    "lora_rank": _choice(None, None, 2),
    "lora_alpha": _choice(None, 3),
    "momentum": _uniform(0.5, 1),
    "negative_slope": _uniform(0, 0.5),
    "noise_shape": _choice(None),
    "normalize": _FLAG,
    "output_padding": _choice(None, 1, 0),
    "output_size": _sizes(1, 3),
    "padding": _choice("valid", "same"),
    "pool_size": _sizes(1, 3),
    "power_iterations": _choice(1, 2, 3),
    "rate": _uniform(0.05, 0.6),
    "recurrent_activation": _choice(*ACTIVATIONS),
    "recurrent_dropout": _uniform(0, 0.5),
    "renorm": _FLAG,
    "renorm_clipping": _choice(None, lambda: {"rmax": 3.0, "rmin": 0.3, "dmax": 5.0}),
    "renorm_momentum": _uniform(0.5, 1),
    "reset_after": _FLAG,
    "return_sequences": _FLAG,
    "return_state": _FLAG,
    "scale": _FLAG,
    "score_mode": _choice("dot", "concat"),
    "seed": _choice(None, 7),
    "sliding_window": _choice(None, 1, 2),
    "stateful": _FLAG,
    "stddev": _uniform(0.1, 1),
    "strides": lambda random, rank: random.choice([1, sizes(random, rank, 1, 3)]),
    "synchronized": _choice(False),
    "threshold": _uniform(0, 0.4),
    "max_value": _choice(None, 1.5),
    "tie_weights": _FLAG,
    "units": _choice(2, 3, 4),
    "unit_forget_bias": _FLAG,
    "unroll": _FLAG,
    "use_bias": _FLAG,
    "use_cudnn": _choice("auto", False),
    "use_gate": _FLAG,
    "use_scale": _FLAG,
    "mask_value": _choice(0.0),
    "mask_zero": _FLAG,
    "zero_output_for_mask": _FLAG,
    "logit_soft_cap": _choice(None, 2.0),
    "reverse_dtype": _choice(None),
    # of images
    "height": _choice(4, 5, 7),
    "width": _choice(4, 6, 7),
    "factor": _uniform(0.1, 0.9),
    "interpolation": _choice("nearest", "bilinear"),
    "fill_mode": _choice("constant", "nearest", "wrap", "reflect"),
    "fill_value": _uniform(0, 200),
    "value_range": _choice((0, 255), (0, 1)),
    "antialias": _FLAG,
    "crop_to_aspect_ratio": _FLAG,
    "pad_to_aspect_ratio": _FLAG,
    "expand_dims": _FLAG,
    "periodic": _FLAG,
    "invert": _FLAG,
    "offset": _uniform(-1, 1),
}
_LEFT = frozenset({
    "weights", "quantization_config", "gptq_unpacked_column_size", "name", "dtype", "sparse", "trainable",
})  # fmt: skip
"""Arguments that are no settings of a layer: arrays, what files cannot hold, and what `settings` is not asked for."""


def settings(cls: Any, random: Random, rank: int = 1, **fixed: Any) -> dict[str, Any]:
    """Return arguments for a layer class: `fixed` ones, all required ones, and about half of the others.

    Raises UnknownArgument at one that nothing is known of, so that a new one of Keras is noticed.
    """
    found = dict(fixed)
    for name, parameter in inspect.signature(cls.__init__).parameters.items():
        if name == "self" or name in found or name in _LEFT or parameter.kind is parameter.VAR_KEYWORD:
            continue
        ending = next((end for end in _ENDINGS if name.endswith(end)), None)
        draw = _ENDINGS[ending] if ending else _VALUES.get(name)
        if draw is None:
            raise UnknownArgument(f"{cls.__name__} has an argument '{name}' that no values are known for")
        value = draw(random, rank)
        if parameter.default is parameter.empty or random.random() < 0.5:
            found[name] = value
    return found
