"""Check the `tune` section of a config against its other sections: build the model at the corners of the space."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from kerascli.config.config import Config
from kerascli.config.point import config_at
from kerascli.config.run import RunSpec
from kerascli.config.sections.phases import in_each
from kerascli.config.sections.space import Parameter, Space
from kerascli.config.sections.tune import AshaPruner, TuneSection, parse_tune
from kerascli.config.yaml.document import Document
from kerascli.foundation.errors import ConfigError, DataError, Fault, Path, in_yaml, suggestion
from kerascli.workflow.bases import open_config

_NOT_SEARCHED = ("tune", "extends", "plugins", "name", "flags")
"""Top-level keys that no trial can change."""

_Values = tuple[Mapping[str, Any], Mapping[str, Any]]


def check_space(
    config: Config, flags: Sequence[str], specs: Sequence[RunSpec], describe: Callable[[Config], Any]
) -> tuple[str, ...]:
    """Return the better direction (`min` or `max`) of each objective of `tune`. Raises ConfigError with all errors.

    `specs` are the parsed training phases of the config as it is written, `describe` parses those of a trial's. Returns
    () for a config without `tune`, or whose shapes are unknown so that a phase is not parsed.
    """
    document = config.document
    if document.at(("tune",)) is None or len(specs) < len(config.phases):
        return ()
    tune = parse_tune(document.data["tune"])
    ways, faults = _directions(tune, specs)
    faults += [*_name_faults(tune, document), *_pruner_faults(tune, config)]
    for place, values in () if faults else _corners(tune.space):
        if place != ("tune",) or not faults:  # together they have the faults of each alone
            faults += _corner_faults(document, flags, place, values, describe)
    if faults:
        raise document.error(faults)
    return ways


def _name_faults(tune: TuneSection, document: Document) -> Iterator[Fault]:
    """Yield a config error for each flag of the space that is not declared, and each path that no trial can change."""
    declared = document.data.get("flags") or {}
    for name in tune.space.flags:
        if name not in declared:
            text = f"there is no flag '{name}'{suggestion(name, declared)}"
            yield Fault(text, ("tune", "flags", name), "key", hint=f"declare its default: flags: {{{name}: 1}}")
    for path in tune.space.sets:
        if path.split(".")[0] in _NOT_SEARCHED:
            yield Fault(f"'{path}' cannot be searched", ("tune", "set", path), "key")


def _pruner_faults(tune: TuneSection, config: Config) -> Iterator[Fault]:
    """Yield a config error if the pruner compares epochs, but the trials have folds."""
    split = None if config.data is None else config.data.split
    if isinstance(tune.pruner, AshaPruner) and split is not None and split.folds is not None:
        text = "pruner: over folds it is median, which decides between them"
        yield Fault(text, ("tune", "pruner"), hint="pruner: median")


def _directions(tune: TuneSection, specs: Sequence[RunSpec]) -> tuple[tuple[str, ...], list[Fault]]:
    names: dict[str, str] = {}
    for spec in specs:
        names |= spec.log_names()
        several = spec.several().items()
        names |= {column: names.get(name, "min") for name, columns in several for column in columns}
    missing = [each.name for each in tune.objective if names.get(each.name) not in ("min", "max")]
    hint = f"logged: {', '.join(names)}"
    texts = [f"objective: unknown metric '{name}'{suggestion(name, names)}" for name in missing]
    return (
        tuple(names.get(each.name, "min") for each in tune.objective),
        [Fault(text, ("tune", "objective"), hint=hint) for text in texts],
    )


def _corners(space: Space) -> Iterator[tuple[Path, _Values]]:
    """Yield (config path, values of flags and paths) for each extreme of each parameter, and for all extremes together.

    With one parameter at an extreme, all that does not contain it is as the config writes it.
    """
    for parameter in space.parameters:
        chosen = _conditions(parameter, space)
        ends = range(len(parameter.items)) if parameter.domain is None else parameter.bounds
        for end in ends:
            numbers = {**chosen, parameter.name: end}
            flags, sets = space.values(
                space.active(lambda each, numbers=numbers: numbers.get(each.name, each.bounds[0]))
            )
            owner = str(parameter.path[1])
            values = ({owner: flags[owner]}, {}) if parameter.path[0] == "flags" else ({}, {owner: sets[owner]})
            place = parameter.path if parameter.domain is not None else (*parameter.path, int(end))
            yield ("tune", *place), values
    if len(space.parameters) > 1:
        for side in (0, 1):
            yield ("tune",), space.values(space.active(lambda each, side=side: each.bounds[side]))


def _conditions(parameter: Parameter, space: Space) -> dict[str, int]:
    """Return the items of the choices that a parameter is in."""
    by_name = {each.name: each for each in space.parameters}
    chosen: dict[str, int] = {}
    while parameter.condition is not None:
        name, index = parameter.condition
        chosen[name], parameter = index, by_name[name]
    return chosen


def _corner_faults(
    document: Document, flags: Sequence[str], place: Path, values: _Values, describe: Callable[[Config], Any]
) -> list[Fault]:
    try:
        written, own_flags = config_at(document, flags, values)
        in_each(open_config(written, flags=own_flags).phases, describe)
    except (ConfigError, DataError) as error:
        shown = ", ".join(f"{name} {in_yaml(value)}" for part in values for name, value in part.items())
        return [Fault(f"at {shown}: {each.text}", place, hint=each.hint) for each in error.faults[:3]]
    return []
