"""Config at a point of its search space: what a trial of a study trains."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from kerascli.config.composition.overrides import override, path_parts
from kerascli.config.composition.references import read_flags
from kerascli.config.sections.space import Space
from kerascli.config.yaml.document import Document
from kerascli.config.yaml.dump import flow_yaml


def config_at(document: Document, sets: Mapping[str, Any]) -> Document:
    """Return a config without `tune`, and with values set at paths as of `--set`. Raises ConfigError."""
    document = override(document, assignments(sets))
    return replace(document, data={key: value for key, value in document.data.items() if key != "tune"})


def assignments(sets: Mapping[str, Any]) -> list[str]:
    """Return the arguments of `--set` that set values at paths."""
    return [f"{path}={flow_yaml(value)}" for path, value in sets.items()]


def flag_assignments(document: Document, flags: Sequence[str]) -> list[str]:
    """Return the arguments of `--set` that set flags to the values of arguments of `--flag`."""
    values = read_flags(document, flags)
    return assignments({f"flags.{name}": values[name] for name in (each.partition("=")[0] for each in flags)})


def written_point(document: Document, space: Space) -> dict[str, int | float]:
    """Return the point of a config as it is written, without parameters whose value is not in the space."""
    resolved = replace(document, data={**document.data, "flags": read_flags(document)})
    return space.written(lambda path: resolved.at(path_parts(path, "tune.set")))
