"""The config section `data`: a source, its splits, and a preprocessing pipeline for every input and target."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, InstanceOf, ValidationInfo, WithJsonSchema, field_validator, model_validator

from kerascli.data.base import SOURCES, TRANSFORMS, Source, Transform
from kerascli.data.mixing import AugmentField, name_faults
from kerascli.data.remote.addresses import rebase
from kerascli.data.where import Where
from kerascli.foundation.errors import Fault, in_yaml, plain_name, show, suggestion
from kerascli.foundation.shapes import NonNegativeInt, OpenFraction, PositiveInt
from kerascli.language.component import Invalid, collected, plain
from kerascli.language.section import BaseSection, parse_section, section_ref

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NO_NAME = "expected a name for the {} (letters, digits, '_'), got {}"
T = TypeVar("T")


def by_section(values: Iterable[tuple[Sequence[str], T]]) -> dict[str, dict[str, T]]:
    """Return values of pipelines, each with the (section, name) of its pipeline, by section, then by name."""
    sections: dict[str, dict[str, T]] = {"inputs": {}, "targets": {}, "sample_weight": {}}
    for (section, name), value in values:
        sections[section][name] = value
    return sections


class SplitSpec(BaseSection):
    """Split of the training rows into train, validation and test, at random or by time; or into folds."""

    validation: OpenFraction = 0.0
    """Fraction of the training rows reserved for the split 'validation', in [0, 1)."""
    test: OpenFraction = 0.0
    """Fraction of the training rows reserved for the split 'test', in [0, 1)."""
    stratify: str | None = None
    """Column of class labels for a stratified split: each part keeps the class frequencies."""
    group: str | None = None
    """Column of group identifiers (such as customers): all rows of a group are in the same part of the split."""
    order: str | None = None
    """Column of times (numbers or ISO dates) to split by: the latest rows are the test, the earliest are trained on."""
    seed: NonNegativeInt | None = None
    """Random seed of the split; null: the run's seed."""
    folds: Annotated[int, Field(ge=2, le=100)] | None = None
    """Number of folds of the training rows: `train --folds` trains a run for each, which it is the validation of."""
    fold: PositiveInt | None = None
    """Number (1 to `folds`) of the fold that is the split 'validation', set by `train --folds`; null: none is."""

    @model_validator(mode="after")
    def _leaves_rows(self) -> "SplitSpec":
        drawn = [key for key in ("stratify", "group", "seed") if getattr(self, key) is not None]
        if self.order is not None and drawn:
            raise ValueError(f"order: not with '{drawn[0]}': nothing is drawn where the rows are split by time")
        if self.validation + self.test >= 1:
            raise ValueError(f"validation and test add up to {self.validation + self.test:g}; expected less than 1")
        if self.validation + self.test == 0 and self.folds is None:
            raise ValueError("expected a fraction for 'validation', 'test' or both, or a number of 'folds'")
        return self

    @model_validator(mode="after")
    def _has_the_fold(self) -> "SplitSpec":
        if self.folds is not None and self.validation:
            text = "validation: not with 'folds': each fold is the validation of a run"
            raise Invalid(text, ("validation",), "key", hint="leave it out")
        if self.folds is not None and self.group is not None and self.stratify is not None:
            raise Invalid("stratify: folds of groups are not stratified", ("stratify",), "key")
        if self.fold is not None and self.fold > (self.folds or 0):
            text = f"expected 1 to {self.folds}, got {self.fold}" if self.folds else "goes with 'folds'"
            raise Invalid(f"fold: {text}", ("fold",))
        return self

    def columns(self) -> set[str]:
        """Return the columns that the split depends on (`stratify`, `group`, `order`)."""
        return {column for column in (self.stratify, self.group, self.order) if column is not None}

    def parts(self) -> dict[str, float]:
        """Return a mapping from the parts to split off (validation, test) to their nonzero fractions of the rows."""
        return {name: part for name, part in (("validation", self.validation), ("test", self.test)) if part > 0}

    def part_keys(self) -> dict[str, str]:
        """Return a mapping from each part that is split off (validation, test) to the key of the section that says so;
        with `folds`, `validation` is a fold."""
        return {name: name for name in self.parts()} | ({} if self.folds is None else {"validation": "folds"})


@dataclass(frozen=True, slots=True)
class Step:
    """Transform in a pipeline; `shared` is its name in `data.shared` if several pipelines share it."""

    transform: Transform
    shared: str | None = None
    place: int | None = field(default=None, compare=False)
    """Index of the step in the config's list, for error messages."""

    def dump(self) -> Any:
        return self.shared or self.transform.dump()


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Pipeline of one input, target or sample weight: columns, and the transforms applied to them.

    `stacked` is True if the columns are a list, which forms an array with a last axis.
    """

    columns: tuple[str, ...]
    stacked: bool
    steps: tuple[Step, ...]

    @property
    def takes_columns(self) -> bool:
        """True if the pipeline reads its columns, of any dtypes, as a record array."""
        return bool(self.steps) and self.steps[0].transform.defines("chains")

    def reads_text(self, column: str) -> bool:
        """Return True if a step accepts values of the column as text alone."""
        return any(step.transform.reads_text(column) for step in self.steps)

    def dump(self) -> list[Any]:
        columns: Any = list(self.columns) if self.stacked else self.columns[0]
        return [{"columns": columns}, *(step.dump() for step in self.steps)]


PipelineField = Annotated[InstanceOf[Pipeline], WithJsonSchema({"x-pipeline": True})]


class DataSpec(BaseSection):
    """Data source, its splits, and a preprocessing pipeline for every input and target."""

    source: Annotated[Source, SOURCES.field()]
    """Data source of the columns."""
    where: Where = Field(default={})
    """Row filter applied to every split: mapping from column to the allowed values."""
    split: Annotated[SplitSpec | None, section_ref("data.split")] = None
    """Random split of the training rows into train, validation and test; null: the source's own splits."""
    shared: dict[str, Annotated[Transform, TRANSFORMS.field()]] = Field(default={})
    """Named transforms shared by several pipelines, which are fitted once on the columns of all of them."""
    inputs: dict[str, PipelineField]
    """Model inputs: mapping from input name to a pipeline (a list of transforms) over columns."""
    targets: dict[str, PipelineField] = Field(default={})
    """Training targets: mapping from target name to a pipeline (a list of transforms) over columns."""
    sample_weight: dict[str, PipelineField] = Field(default={})
    """Sample weights: mapping from target name to a pipeline over columns with one number per row as output."""
    augment: AugmentField = Field(default=())
    """Augmentations that mix the samples of a training batch, inputs and targets alike, after the pipelines."""

    @field_validator("split", mode="before")
    @classmethod
    def _read_split(cls, value: Any) -> Any:
        if value is None or isinstance(value, SplitSpec):
            return value
        if not isinstance(value, dict):
            raise Invalid(f"split: expected a mapping, got {show(value)}", hint=_shares(value))
        return parse_section(SplitSpec, value, ())

    @field_validator("shared", mode="after")
    @classmethod
    def _shared_names(cls, shared: dict[str, Transform]) -> dict[str, Transform]:
        for name in shared:
            if not _NAME.fullmatch(name):
                raise ValueError(_NO_NAME.format("shared transform", show(name)))
            if TRANSFORMS.find(name):
                raise ValueError(f"'{name}' is the name of a transform; give the shared one another name")
        return shared

    @field_validator("inputs", "targets", "sample_weight", mode="before")
    @classmethod
    def _pipelines(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, dict):
            return value
        shared: Mapping[str, Transform] = info.data.get("shared", {})
        pipelines: dict[str, Pipeline] = {}
        faults: list[Fault] = []
        for name, steps in value.items():
            with collected(faults, (name,)):
                pipelines[name] = parse_pipeline(name, steps, shared)
        if faults:
            raise Invalid(faults)
        return pipelines

    @field_validator("sample_weight", mode="after")
    @classmethod
    def _weighs_targets(cls, value: dict[str, Pipeline], info: ValidationInfo) -> dict[str, Pipeline]:
        targets = info.data.get("targets", value)
        if unknown := [name for name in value if name not in targets]:
            text = "sample_weight: there is no target '{}'{}"
            raise Invalid(Fault(text.format(name, suggestion(name, targets)), (name,), "key") for name in unknown)
        return value

    @field_validator("augment", mode="after")
    @classmethod
    def _mixes_what_is_there(cls, value: AugmentField, info: ValidationInfo) -> AugmentField:
        known = info.data
        if {"inputs", "targets"} <= known.keys() and (f := name_faults(value, known["inputs"], known["targets"])):
            raise Invalid(f)
        return value

    @model_validator(mode="after")
    def _complete(self) -> "DataSpec":
        if not self.inputs:
            raise ValueError("inputs: expected at least one input")
        if unused := set(self.shared) - {step.shared for p in self.all_pipelines().values() for step in p.steps}:
            raise ValueError(f"shared: no pipeline uses '{min(unused)}'")
        return self

    @property
    def has_unused_folds(self) -> bool:
        """True if the rows are split into folds, none of which is the split 'validation'."""
        return self.split is not None and self.split.folds is not None and self.split.fold is None

    def all_pipelines(self) -> dict[tuple[str, str], Pipeline]:
        """Return a mapping from (section, name) to pipeline, for all inputs, targets and sample weights."""
        sections = {"inputs": self.inputs, "targets": self.targets, "sample_weight": self.sample_weight}
        return {(section, name): each for section, pipelines in sections.items() for name, each in pipelines.items()}

    def columns_of(self, *sections: str) -> list[str]:
        """Return the columns that the pipelines of sections (none: of all) read, each once, in their order."""
        pipelines = self.all_pipelines().items()
        chosen = (pipeline for (section, _), pipeline in pipelines if not sections or section in sections)
        return list(dict.fromkeys(column for pipeline in chosen for column in pipeline.columns))

    def of_rows(self, source: Source, columns: Iterable[str]) -> "DataSpec":
        """Return the section with these columns of another source as its inputs, as they are, and without targets."""
        inputs = {column: Pipeline((column,), stacked=False, steps=()) for column in columns}
        return self.model_copy(update={"source": source, "inputs": inputs, "targets": {}})

    def columns(self) -> frozenset[str]:
        """Return the names of the columns that the pipelines, the row filter and the split use."""
        return frozenset(self.columns_of()).union(self.where, self.split.columns() if self.split is not None else ())

    def dump(self) -> dict[str, Any]:
        """Return the data section as data to write as YAML; parsing it gives an equal section."""
        given = {name: value for name in type(self).model_fields if (value := getattr(self, name))}
        pipelines = by_section((place, each.dump()) for place, each in self.all_pipelines().items())
        return {name: pipelines.get(name) or plain(value) for name, value in given.items()}

    def rebased(self, old: Path, new: Path) -> "DataSpec":
        """Return the data section with its paths relative to the folder `new` instead of `old`."""
        change = rebase(old, new)
        moved = self.with_transforms(lambda _, transform: transform.with_paths(change))
        return moved.model_copy(update={"source": self.source.with_paths(change)})

    def with_transforms(self, change: Callable[[tuple[str, str], Transform], Transform]) -> "DataSpec":
        """Return the data section with each transform replaced by `change((section, name), transform)`."""
        shared = {name: change(("shared", name), transform) for name, transform in self.shared.items()}

        def changed(place: tuple[str, str], step: Step) -> Step:
            return replace(step, transform=shared[step.shared] if step.shared else change(place, step.transform))

        pipelines = by_section(
            (place, replace(pipeline, steps=tuple(changed(place, step) for step in pipeline.steps)))
            for place, pipeline in self.all_pipelines().items()
        )
        return self.model_copy(update={"shared": shared, **pipelines})


def _shares(value: Any) -> str | None:
    """Return a hint with the split of a value such as `80/10/10` or [0.8, 0.2]: shares of train, validation, test."""
    parts = [float(number) for number in re.findall(r"\d+\.?\d*|\.\d+", str(value))]
    if len(parts) == 1 and 0 < parts[0] < 100:  # a share or a percentage of them
        part = parts[0] if parts[0] < 1 else parts[0] / 100
        parts = [1 - part, part]
    if not 2 <= len(parts) <= 3 or sum(parts) == 0:
        return "write split: {validation: 0.1, test: 0.1}"
    shares = {name: f"{part / sum(parts):g}" for name, part in zip(("validation", "test"), parts[1:], strict=False)}
    return f"write split: {in_yaml(shares)}"


def parse_data(section: Any) -> DataSpec:
    """Parse the config's section `data`. Raises Invalid with all errors, whose paths begin with 'data'."""
    if not isinstance(section, dict):
        raise Invalid(f"data: expected a mapping, got {show(section)}", ("data",))
    return parse_section(DataSpec, section, ("data",))


def parse_pipeline(name: Any, value: Any, shared: Mapping[str, Transform]) -> Pipeline:
    """Parse one pipeline of a config: a list of steps, or one step. Raises Invalid with paths within the pipeline."""
    _check_name(name, value)
    listed = isinstance(value, list | tuple)
    columns: tuple[str, ...] = ()
    stacked = False
    steps: list[Step] = []
    faults: list[Fault] = []
    for index, entry in enumerate(value if listed else () if value is None else (value,)):
        with collected(faults, (index,) if listed else ()):
            if isinstance(entry, dict) and "columns" in entry:
                columns, stacked = _columns(entry, index)
            elif isinstance(entry, str) and entry in shared:
                steps.append(Step(shared[entry], entry, index))
            else:
                steps.append(Step(_transform(entry, shared), place=index))
    if faults:
        raise Invalid(faults)
    if not columns:
        own = steps[0].transform.own_columns() if steps else ()
        columns, stacked = own or (name,), bool(own)
    return Pipeline(columns, stacked, tuple(steps))


def _check_name(name: Any, steps: Any) -> None:
    """Raise Invalid for a key that is no name of an input or target, with what to write in a hint."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        hint = None if (plain := plain_name(name)) is None else f"write {plain}"
        if hint and not (isinstance(steps, list) and steps and isinstance(steps[0], dict) and "columns" in steps[0]):
            hint = f"rename it, and keep its column: {plain}: [{{columns: {name}}}, ...]"
        raise Invalid(_NO_NAME.format("input or target", show(name)), (), "key", hint=hint)


def _transform(entry: Any, shared: Mapping[str, Transform]) -> Transform:
    if isinstance(entry, dict) and len(entry) == 1 and (name := next(iter(entry))) in shared:
        text = f"'{name}' is a shared transform and takes no arguments here"
        raise Invalid(text, (name,), "key", hint=f"write '{name}' alone")
    try:
        return TRANSFORMS.parse(entry)
    except Invalid as invalid:
        fault = invalid.faults[0]
        if not isinstance(entry, str) or "kerascli list" not in str(fault.hint):
            raise
        raise Invalid([replace(fault, hint=f"{fault.hint}; a column is read by {{columns: {entry}}}")]) from None


def _columns(entry: dict[str, Any], index: int) -> tuple[tuple[str, ...], bool]:
    value = entry["columns"]
    if index > 0:
        raise Invalid("'columns' comes first in a pipeline", ("columns",), "key")
    if len(entry) > 1:
        others = {key: each for key, each in entry.items() if key != "columns"}
        all_bare = isinstance(value, str) and all(each is None for each in others.values())
        hint = f"write columns: {in_yaml([value, *map(str, others)])}" if all_bare else None
        first = next(iter(others))
        raise Invalid(f"'columns' takes no other keys, got '{first}'", (first,), "key", hint=hint)
    if isinstance(value, str):
        return (value,), False
    if isinstance(value, list | tuple) and value and all(isinstance(item, str) for item in value):
        return tuple(value), True
    raise Invalid(f"columns: expected a name or a list of names, got {show(value)}", ("columns",))
