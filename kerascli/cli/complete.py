"""Shell completion (TAB) of runs, configs, components and `--set` paths; imports neither torch nor numpy."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from glob import escape, glob
from pathlib import Path
from typing import Any

import typer

from kerascli.foundation.errors import KerasCliError, dotted, in_yaml, leaves

_CONFIGS = (".yaml", ".yml")
_PLAIN = re.compile(r"[\w.+-]*")
"""Regular expression for values that need no quotes in a shell."""


def runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return completions for the name of a run: `latest`, names that only one run has, and names of run folders."""
    from kerascli.runs.record import FOLDER

    folders = sorted(path.parent.name for path in Path(ctx.params.get("runs_dir") or "runs").glob("*/run.json"))
    names = [match[2] if (match := FOLDER.fullmatch(name)) else name for name in folders]
    single = [name for name in dict.fromkeys(names) if names.count(name) == 1]
    return _beginning([*(["latest"] if folders else []), *single, *folders], incomplete)


def configs(incomplete: str) -> list[str]:
    """Return completions for the path of a config: YAML files and subfolders of the folder typed so far."""
    paths = [f"{path}/" if os.path.isdir(path) else path for path in sorted(glob(f"{escape(incomplete)}*"))]
    return [path for path in paths if path.endswith(("/", *_CONFIGS))]


def configs_or_runs(ctx: typer.Context, incomplete: str) -> list[str]:
    return [*configs(incomplete), *runs(ctx, incomplete)]


def models(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return completions for a model: paths of configs, names of runs and of published networks."""
    from kerascli.config.composition.applications import applications

    return [*configs_or_runs(ctx, incomplete), *_beginning(applications(), incomplete)]


def kinds(incomplete: str) -> list[str]:
    """Return completions for `kerascli list`: kinds of components such as `layers` and `losses`."""
    from kerascli.language.kinds import KINDS, plural

    return _beginning(["applications", *map(plural, KINDS)], incomplete)


def names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return completions for `kerascli explain`: names of components, sections and keys of a config, and commands."""
    from kerascli.config.composition.applications import applications

    commands = getattr(ctx.find_root().command, "commands", {})
    return _beginning([*sorted(components()), *sections(), *applications(), *commands], incomplete)


def components() -> set[str]:
    """Return the set of names of all components (layers, losses ...); empty before the first config was checked."""
    from kerascli.config import component_index

    index = component_index.load()
    return set() if index is None else {name for names in index.settings.values() for name in names}


def sections() -> list[str]:
    """Return the names of a config's sections, and of the keys in `fit`; does not import torch."""
    from kerascli.config.sections.fit import FitSpec
    from kerascli.config.top_level import ConfigSection
    from kerascli.language.section import key_names

    return [*key_names(ConfigSection), *(f"fit.{key}" for key in key_names(FitSpec))]


def settings(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return completions for `--set`: `path=value` for each setting of the config, and for the keys of `fit`."""
    from kerascli.config.composition.extends import read_extended

    value = ctx.params.get("config") or ctx.params.get("what") or ctx.args  # after `--set` the arguments are not parsed
    path = value[0] if isinstance(value, list | tuple) and value else value
    only = [Path(str(path))] if path else [file for file in Path().iterdir() if file.suffix in _CONFIGS]
    if len(only) != 1:
        return []
    with suppress(KerasCliError, OSError):
        data = read_extended(only[0]).data
        return _beginning([*_written(data), *_unset(data)], incomplete)
    return []


def _written(data: Mapping[Any, Any]) -> Iterator[str]:
    """Yield `path=value` for each value in a config (nested mappings and lists), for completion of `--set`."""
    for path, value in leaves(data, bool):
        text = in_yaml(value)
        yield f"{dotted(path)}={text if _PLAIN.fullmatch(text) else ''}"


def _unset(data: Mapping[Any, Any]) -> Iterator[str]:
    """Yield `path=default` for `seed` and for each key of `fit` that the config does not set."""
    from kerascli.config.sections.fit import FitSpec

    fit = data.get("fit")
    if "seed" not in data:
        yield "seed="
    for name, info in FitSpec.model_fields.items():
        key = info.alias or name
        if not isinstance(fit, dict) or key not in fit:
            simple = isinstance(info.default, bool | int | float | str)
            yield f"fit.{key}={in_yaml(info.default) if simple else ''}"


def _beginning(words: Iterable[str], incomplete: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
