"""Mapping from operations of keras.ops that formulas lack to the reason, for error messages."""

from collections.abc import Mapping

_FUNCTION = "it takes a Python function, which a formula cannot contain"
_VALUES = "the shape of its result depends on the values of a tensor"

LEFT_OUT: Mapping[str, str] = {
    "associative_scan": f"{_FUNCTION}; use cumsum or cumprod",
    "bincount": f"{_VALUES}; write sum(one_hot(x, n), axis=-2)",
    "cond": f"{_FUNCTION}; write where(test, a, b)",
    "convert_to_numpy": "every value of a formula is a tensor or a number",
    "custom_gradient": f"{_FUNCTION}; write x + stop_gradient(y - x) for a gradient of x with a value of y",
    "empty": "its values are undefined; write zeros(...)",
    "empty_like": "its values are undefined; write zeros_like(...)",
    "fori_loop": _FUNCTION,
    "get_item": "write x[...]",
    "image.elastic_transform": "use the layer random_elastic_transform, whose random numbers are reproducible",
    "is_tensor": "every node is a tensor",
    "jvp": _FUNCTION,
    "map": f"{_FUNCTION}; operations apply to whole tensors",
    "nonzero": f"{_VALUES}; write where(test, a, b), or sum with a mask",
    "scan": f"{_FUNCTION}; use a recurrent layer",
    "switch": f"{_FUNCTION}; write select([...], [...])",
    "unique": _VALUES,
    "vectorize": f"{_FUNCTION}; operations apply to whole tensors",
    "vectorized_map": f"{_FUNCTION}; operations apply to whole tensors",
    "while_loop": _FUNCTION,
}
