"""The `tune:` section of a config: objective, budget, sampler, pruner and search space of a study."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from kerascli.config.sections.space import HINT, Space, read_space
from kerascli.foundation.errors import Fault, counted, show, suggestion
from kerascli.foundation.shapes import NonNegativeInt, PositiveInt
from kerascli.language.component import Invalid
from kerascli.language.section import BaseSection, parse_section

MAX_TRIALS = 100_000
_SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class Objective:
    """Loss or metric to optimize: a column of history.csv."""

    name: str
    last: bool = False
    """True for its value in the last epoch; False for that of its best epoch."""


def _objective(written: Any) -> Any:
    """Return the objectives in the forms `val_loss`, `{val_loss: last}` or a list of these."""
    entries = written if isinstance(written, list) else [written]
    read: list[Objective] = []
    for entry in entries:
        name, how = next(iter(entry.items())) if isinstance(entry, dict) and len(entry) == 1 else (entry, "best")
        if not isinstance(name, str) or how not in ("best", "last"):
            raise ValueError(f"expected a metric, or {{METRIC: last}}, got {show(entry)}")
        read.append(Objective(name, how == "last"))
    if not read or len({each.name for each in read}) < len(read):
        raise ValueError(f"expected different metrics, got {show(written)}")
    return tuple(read)


def _timeout(written: Any) -> Any:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", written) if isinstance(written, str) else None
    if match is None or float(match[1]) == 0:
        raise ValueError(f"expected a time such as 90s, 30m or 2h, got {show(written)}")
    return float(match[1]) * _SECONDS[match[2]]


class AshaPruner(BaseSection):
    """Asynchronous successive halving (Li et al., 2018): at each rung only the best trials go on."""

    title: ClassVar[str] = "asha"

    min_epochs: PositiveInt = 1
    """Epochs of the first rung."""
    factor: Annotated[int, Field(ge=2)] = 3
    """Reduction factor: each rung has this many times the epochs, and one in so many trials goes on from it."""


class MedianPruner(BaseSection):
    """Stop a trial whose best value so far is worse than the median of the other trials' best values by that epoch."""

    title: ClassVar[str] = "median"

    min_epochs: NonNegativeInt = 1
    """Epochs of a trial before it may be pruned."""
    min_trials: PositiveInt = 4
    """Number of other trials that have reached the epoch, before a trial may be pruned."""


Pruner = AshaPruner | MedianPruner
_PRUNERS: Mapping[str, type[Pruner]] = {"asha": AshaPruner, "median": MedianPruner}


def _pruner(written: Any) -> Any:
    name, arguments = next(iter(written.items())) if isinstance(written, dict) and len(written) == 1 else (written, {})
    if not isinstance(name, str) or name not in _PRUNERS:
        raise ValueError(f"expected asha or median, got {show(name)}{suggestion(str(name), _PRUNERS)}")
    return parse_section(_PRUNERS[name], {} if arguments is None else arguments, (name,))


_ENTRY = {"anyOf": [{"type": "string"}, {"type": "object"}]}
_PRUNER = {"anyOf": [{"enum": list(_PRUNERS)}, {"type": "object", "propertyNames": {"enum": list(_PRUNERS)}}]}


class TuneSection(BaseSection):
    """Search of hyperparameters by the command `tune`: objective, budget, sampler, pruner and search space."""

    title: ClassVar[str] = "tune"

    objective: Annotated[
        tuple[Objective, ...], BeforeValidator(_objective),
        WithJsonSchema({"anyOf": [*_ENTRY["anyOf"], {"type": "array", "items": _ENTRY, "minItems": 1}]}),
    ]  # fmt: skip
    """Metric to optimize, in its best epoch; `{val_loss: last}` takes its last epoch; a list: several metrics."""
    trials: Annotated[int, Field(ge=1, le=MAX_TRIALS)] | None = None
    """Number of trials; the first one is the config as it is written. Null: a whole grid, or until `timeout`."""
    timeout: Annotated[float, BeforeValidator(_timeout), WithJsonSchema({"type": "string"})] | None = None
    """Time after which a command starts no further trial, such as 90s, 30m or 2h; null: no limit."""
    sampler: Literal["random", "grid", "tpe"] = "random"
    """Method that chooses the points: at random, on a grid, or tree-structured Parzen estimators by Optuna."""
    pruner: Annotated[Any, BeforeValidator(_pruner), WithJsonSchema(_PRUNER)] = None
    """Method that stops poor trials early: `asha` or `median`; null: none."""
    flags: Annotated[dict[Any, Any], AfterValidator(read_space)] | None = None
    """Search space of flags: mapping from a flag to a range `{int: {range: [32, 512]}}` or a list of choices."""
    set: Annotated[dict[Any, Any], AfterValidator(read_space)] | None = None
    """Search space of config values: mapping from a path as of `--set` to a range or a list of choices."""
    keep: Literal["best", "all", "none"] = "best"
    """Trials whose weights are kept: the best one, all of them, or none."""

    @model_validator(mode="after")
    def _consistent(self) -> "TuneSection":
        faults, names = list[Fault](), set[str]()
        for each in self.space.parameters:
            if each.name in names:
                faults.append(Fault(f"two parameters are called '{each.name}'", each.path, "key"))
            if self.sampler == "grid" and each.domain.kind is float and each.domain.steps is None:
                faults.append(Fault(f"{each.name}: a grid needs 'steps', the number of values", each.path))
            names.add(each.name)
        if not names:
            faults.append(Fault("expected a search space in 'flags' or 'set'", (), "key", hint=HINT))
        elif self.sampler != "grid" and self.trials is None and self.timeout is None:
            faults.append(Fault("trials: expected a number of trials, or a timeout", (), "key"))
        if self.pruner is not None and len(self.objective) > 1:
            faults.append(Fault("pruner: a trial with several objectives cannot be pruned", ("pruner",)))
        if faults:
            raise Invalid(faults)
        return self

    def summary(self) -> str:
        """Return the budget and the size of the space as text: `40 trials, tpe, 3 parameters`."""
        count = [counted(self.trials, "trial")] if self.trials is not None else []
        return ", ".join([*count, self.sampler, counted(len(self.space.parameters), "parameter")])

    @cached_property
    def space(self) -> Space:
        """Search space of the keys `flags` and `set`."""
        return Space({**(self.flags or {}), **(self.set or {})})


def parse_tune(section: Any) -> TuneSection:
    """Parse the `tune` section of a config. Raises Invalid with its errors."""
    return parse_section(TuneSection, section, ("tune",))
