"""Config at a point of its search space: what a trial of a study trains."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from kerascli.config.composition.overrides import override, path_parts
from kerascli.config.composition.references import read_flags
from kerascli.config.sections.space import Space
from kerascli.config.yaml.document import Document
from kerascli.config.yaml.dump import flow_yaml


def config_at(
    document: Document, flags: Sequence[str], values: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> tuple[Document, list[str]]:
    """Return (config with values set and without `tune`, arguments of `--flag`). Raises ConfigError.

    `flags` are the arguments of `--flag` for the whole study; `values` are those of flags and of paths as of `--set`.
    """
    own_flags, sets = values
    document = override(document, assignments(sets))
    data = {key: value for key, value in document.data.items() if key != "tune"}
    kept = [each for each in flags if each.partition("=")[0] not in own_flags]
    return replace(document, data=data), [*kept, *(f"{name}={flag_text(each)}" for name, each in own_flags.items())]


def assignments(sets: Mapping[str, Any]) -> list[str]:
    """Return the arguments of `--set` that set values at paths."""
    return [f"{path}={flow_yaml(value)}" for path, value in sets.items()]


def flag_text(value: Any) -> str:
    """Return the value of a flag as the option `--flag` takes it."""
    return value if isinstance(value, str) else flow_yaml(value)


def written_point(document: Document, flags: Sequence[str], space: Space) -> dict[str, int | float]:
    """Return the point of a config as it is written, without parameters whose value is not in the space."""
    return space.point_of(read_flags(document, flags), lambda path: document.at(path_parts(path, "tune.set")))
