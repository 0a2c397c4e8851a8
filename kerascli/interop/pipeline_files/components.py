"""Check the components (data source, transforms ...) of a pipeline file: built-in ones only, which name no files in
other folders."""

from collections.abc import Iterator
from typing import Any

from kerascli.data.base import InFolder, file_name
from kerascli.data.sources.python import Python
from kerascli.language.component import Component


def components_of(value: Any) -> Iterator[Component]:
    """Yield a component (data source, transform ...) and all components in its settings, at any depth."""
    if isinstance(value, Component):
        yield value
        for name in type(value).model_fields:
            yield from components_of(getattr(value, name))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from components_of(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from components_of(item)


def foreign_part(component: Component) -> str | None:
    """Return the name of the first component (data source, transform ...), among `component` and those in its settings,
    that is the user's Python code; else None."""
    for part in components_of(component):
        if not type(part).__module__.startswith("kerascli.") or isinstance(part, Python):
            return part.component_name
    return None


def leads_elsewhere(component: Component) -> bool:
    """Return True if a component's setting is a path with folders; a pipeline file may use only names of files without
    a folder."""
    return any(isinstance(part, InFolder) and part.with_paths(file_name) != part for part in components_of(component))
