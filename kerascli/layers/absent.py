"""Layers of Keras's that cannot be layers here, and where the same is done."""

from typing import TypeVar

from kerascli.component import Component, Invalid, Registry
from kerascli.errors import Fault, Path

_TEXT = "tensors hold no words: put {} into the input's pipeline under data, which comes before the model"
_HINTS = {
    **{name: _TEXT.format(name) for name in ("string_lookup", "text_vectorization", "feature_space")},
    "max_num_bounding_boxes": "boxes have no place in a batch here",
}
_BY_KEY = {name.replace("_", ""): hint for name, hint in _HINTS.items()}


C = TypeVar("C", bound=Component)


class LayerRegistry(Registry[C]):
    """Knows what cannot be a layer, too."""

    def get(self, name: str, path: Path = ()) -> type[C]:
        hint = _BY_KEY.get(name.lower().replace("_", "").removeprefix("layer"))
        if hint is not None and self.find(name) is None:
            raise Invalid([Fault(f"there is no layer '{name}'", path, "key" if path else "value", hint=hint)])
        return super().get(name, path)
