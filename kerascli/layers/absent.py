"""Layers of Keras's that cannot be layers here, and where the same is done."""

_TEXT = "tensors hold no words: put {} into the input's pipeline under data, which comes before the model"
_LABELS = "{} mixes the labels of a batch as it mixes its images, and a layer sees no labels"
_HINTS = {
    **{name: _TEXT.format(name) for name in ("string_lookup", "text_vectorization", "feature_space")},
    **{name: _LABELS.format(name) for name in ("cut_mix", "mix_up")},
    "max_num_bounding_boxes": "boxes have no place in a batch here",
}
_BY_KEY = {name.replace("_", ""): hint for name, hint in _HINTS.items()}


def hint_of(name: str) -> str | None:
    """What to do instead of a layer of this name, in any spelling."""
    return _BY_KEY.get(name.lower().replace("_", "").removeprefix("layer"))
