"""Short texts on layers (family, settings, output shape) for their boxes in a diagram."""

from operator import attrgetter

from kerascli.config.yaml.dump import flow_yaml
from kerascli.foundation.errors import safe_text
from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import changed_arguments, plain
from kerascli.layers.base import BaseLayer
from kerascli.model.ir.inner_models import CustomCellRNN
from kerascli.report.architecture.diagram import TIMES

_LONGEST = 80
_OMITTED = ("_initializer", "_regularizer", "_constraint")


def family_of(layer: BaseLayer) -> str:
    """Return the family of a layer, the folder of its source file (`pooling`, `recurrent` ...); `own` for a plugin's
    layer."""
    parts = type(layer).__module__.split(".")
    if parts[:2] in (["kerascli", "features"], ["kerascli", "preprocessing"]):
        return "preprocessing"
    return parts[2] if parts[:2] == ["kerascli", "layers"] and len(parts) > 2 else "own"


def details(layer: BaseLayer) -> str:
    """Return the settings of a layer that differ from the defaults, but not those of its weights, as YAML; of layers
    and activations in it the names."""
    settings = layer.settings() if isinstance(layer, CustomCellRNN) else type(layer).model_fields
    own = [name for name in settings if name not in BaseLayer.model_fields and not name.endswith(_OMITTED)]
    changed = changed_arguments(layer)
    shown = {name: plain(changed[name], attrgetter("component_name")) for name in own if name in changed}
    text = flow_yaml(shown)[1:-1]
    return safe_text(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…")


def shape_label(spec: TensorSpec) -> str:
    """Return a tensor's shape as text (28×28×16) for a diagram; an unknown size is `?`, an integer dtype is added."""
    text = TIMES.join("?" if size is None else str(size) for size in spec.shape) or "one number"
    return f"{text} {spec.dtype}" if spec.is_integer else text
