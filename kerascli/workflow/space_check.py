"""Check the `tune` section of a config against its other sections: build the model at the corners of the space."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from kerascli.config.composition.overrides import config_at
from kerascli.config.composition.references import Flag
from kerascli.config.run import RunSpec
from kerascli.config.sections.space import Space
from kerascli.config.sections.tune import AshaPruner, TuneSection, parse_tune
from kerascli.config.yaml.document import Document
from kerascli.foundation.errors import ConfigError, DataError, Fault, Path, in_yaml, suggestion
from kerascli.language.expressions.template import names_referred_to

_NOT_SEARCHED = ("tune", "extends", "plugins", "name", "flags")
"""Top-level keys that no trial can change."""


def check_space(
    document: Document, flags: Mapping[str, Flag], specs: Sequence[RunSpec], describe: Callable[[Document], Any]
) -> tuple[str, ...]:
    """Return the better direction (`min` or `max`) of each objective of `tune`. Raises ConfigError with all errors.

    `document` is the config as trials read it, whose bases are not resolved; `flags` are the values of its flags,
    `specs` its parsed training phases, and `describe` parses those of a trial. Returns () for a config without `tune`.
    """
    if document.at(("tune",)) is None:
        return ()
    tune = parse_tune(document.data["tune"])
    ways = {column: way for spec in specs for column, way in spec.log_names().items()}
    faults = [*_name_faults(tune, ways, document)]
    if isinstance(tune.pruner, AshaPruner) and document.at(("data", "split", "folds")) is not None:
        text = "pruner: over folds it is median, which decides between them"
        faults.append(Fault(text, ("tune", "pruner"), hint="pruner: median"))
    document = replace(document, data={**document.data, "flags": dict(flags)})
    faults += _corner_faults(document, tune.space, {fault.path for fault in faults}, describe)
    if faults:
        raise document.error(faults)
    return tuple(ways[each.name] for each in tune.objective)


def _name_faults(tune: TuneSection, ways: Mapping[str, str], document: Document) -> Iterator[Fault]:
    """Yield a config error for each metric that is not logged, each flag of the space that is not declared or not used,
    and each path that no trial can change."""
    declared, used = document.data.get("flags") or {}, names_referred_to(document.data)
    for name in (each.name for each in tune.objective if each.name not in ways):
        text = f"objective: unknown metric '{name}'{suggestion(name, ways)}"
        yield Fault(text, ("tune", "objective"), hint=f"logged: {', '.join(ways)}")
    for name in (path.removeprefix("flags.") for path in tune.flags or ()):
        if name not in declared:
            text = f"there is no flag '{name}'{suggestion(name, declared)}"
            yield Fault(text, ("tune", "flags", name), "key", hint=f"declare its default: flags: {{{name}: 1}}")
        elif name not in used:
            yield Fault(f"nothing in the config uses the flag '{name}'", ("tune", "flags", name), "key")
    for path in (path for path in tune.set or () if path.split(".")[0] in _NOT_SEARCHED):
        yield Fault(f"'{path}' cannot be searched", ("tune", "set", path), "key")


def _corners(space: Space) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield (config path, values of paths as of `--set`) for each extreme of each parameter, and for all extremes
    together.

    With one parameter at an extreme, all that does not contain it is as the config writes it.
    """
    for key, written in space.sets.items():
        entry = Space({key: written})
        for parameter in entry.parameters:
            for end in range(len(parameter.items)) or parameter.domain.range:
                numbers = {**parameter.within, parameter.name: end}
                point = entry.active(lambda each, numbers=numbers: numbers.get(each.name, each.domain.range[0]))
                yield ("tune", *parameter.path, *[int(end)] * bool(parameter.items)), entry.values(point)
    for side in (0, 1) if len(space.parameters) > 1 else ():
        yield ("tune",), space.values(space.active(lambda each, side=side: each.domain.range[side]))


def _corner_faults(
    document: Document, space: Space, blamed: Set[Path], describe: Callable[[Document], Any]
) -> Iterable[Fault]:
    """Return the config errors at corners of the space, but for parameters at the paths `blamed`, each one once."""
    faults: dict[tuple[Path, str], Fault] = {}
    for place, sets in _corners(space):
        if place[:3] in blamed or (place == ("tune",) and (blamed or faults)):  # together they have those of each alone
            continue
        try:
            describe(config_at(document, sets))
        except (ConfigError, DataError) as error:
            shown = ", ".join(f"{path.removeprefix('flags.')} {in_yaml(value)}" for path, value in sets.items())
            for each in error.faults[:3]:
                faults.setdefault((place, each.text), Fault(f"at {shown}: {each.text}", place, hint=each.hint))
    return faults.values()
