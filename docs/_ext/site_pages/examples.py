"""The example of each component as YAML: that of its layer's `Example`, or of a table of arguments."""

from functools import cache
from typing import Any

import yaml

from kerascli.config.yaml.dump import flow_yaml
from kerascli.language.component import Component, registries
from kerascli.layers.base import LAYERS, BaseLayer
from kerascli.report.reference import Entry
from site_pages.keras_names import DATA


def example(entry: Entry, cls: type[Component]) -> str:
    """Return a use of a component as a line of YAML; every argument that it needs is there."""
    if issubclass(cls, BaseLayer):
        return entry.example.partition("   # ")[0]
    arguments = example_arguments(entry.kind, cls)
    if not arguments:
        return entry.example
    needed = ", ".join(f"{key.name}: ..." for key in entry.keys if key.required)
    return entry.example.replace(f"{{{entry.name}: {{{needed}}}}}", flow_yaml({entry.name: arguments}))


def example_arguments(kind: str, cls: type[Component]) -> dict[str, Any]:
    """Return the arguments that a component's example has; none where its name alone will do."""
    if not any(field.is_required() for field in cls.model_fields.values()):
        return {}
    own = _tables().get(kind, {}).get(cls.component_name)
    if own is not None:
        return own
    layer = LAYERS.find(cls.component_name)
    if layer is None:
        raise LookupError(f"_data/examples.yaml has no arguments for the {kind} {cls.component_name}")
    needed = {name for name, field in cls.model_fields.items() if field.is_required()}
    return {name: value for name, value in layer.examples[0].config.items() if name in needed}


@cache
def _tables() -> dict[str, dict[str, Any]]:
    return yaml.safe_load((DATA / "examples.yaml").read_text(encoding="utf-8"))


def idle_arguments() -> list[str]:
    """Return what the table has of components that do not need it, or that there are not."""
    idle = []
    for kind, listed in _tables().items():
        for name in listed:
            cls = registries()[kind].find(name)
            if cls is None or not any(field.is_required() for field in cls.model_fields.values()):
                idle.append(f"{kind}.{name}")
    return idle
