"""Prepare the data of the config section `data` (load, split, fit, transform); infer shapes and dtypes of inputs and
targets."""

import math
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

import numpy as np

from kerascli.data.base import Context, Field, Fields, FittedState, States, Tables
from kerascli.data.batches.rows import Split
from kerascli.data.digests import digests
from kerascli.data.download import Progress
from kerascli.data.mixing import Mixing, mixed_inputs, mixes
from kerascli.data.pipeline.columns import gap_error, stray_value_error
from kerascli.data.pipeline.display_columns import check_display_columns, display_columns
from kerascli.data.pipeline.learned_state import known_columns, learn
from kerascli.data.pipeline.named_pipeline import NamedPipeline, check_source_memory
from kerascli.data.pipeline.pipeline import FittedPipeline, Stage, Undo
from kerascli.data.pipeline.preparer import Preparer
from kerascli.data.pipeline.splitting import cut_tail, split_tables
from kerascli.data.section import DataSpec, by_section
from kerascli.data.storage.delimited.text_format import BOOLEANS
from kerascli.data.storage.on_disk import Values, blocks
from kerascli.data.storage.row_errors import skipping
from kerascli.data.storage.table import Skipped, Table
from kerascli.data.where import check_where, rows_where
from kerascli.foundation.errors import DataError, in_yaml
from kerascli.language.foreign_words import ALL_COLUMNS

_NOWHERE = ".kerascli/no-data"
"""Folder that does not exist, for facts without access to files."""


class DataFacts(NamedTuple):
    """Fields (shape, dtype ...) of the inputs and targets by name; unknown ones are absent, unknown sizes are None."""

    inputs: dict[str, Field]
    targets: dict[str, Field]
    known: bool = True
    """False if some shapes, dtypes ... are unknown until the data is read."""


@dataclass(frozen=True, slots=True)
class Stages:
    """Parts of the data preparation that need no rows: fields (shape, dtype ...) of inputs and targets, modules of the
    preprocessing steps that run per batch, and functions that undo the targets' preprocessing."""

    facts: DataFacts
    input_stage: Stage
    target_stage: Stage
    inverses: dict[str, Undo]
    """Mapping from target to the function that undoes its transforms, to convert predictions to the column's units."""


@dataclass(frozen=True, slots=True)
class PreparedData(Stages):
    """Prepared data for training: splits, learned state of transforms, augmentation, fields (shape, dtype ...) of
    inputs and targets."""

    splits: dict[str, Split]
    learned: dict[str, FittedState]
    display_columns: dict[str, Sequence[str]]
    """Mapping from each raw column that is displayed next to model outputs to its class names (empty if none)."""
    mixing: Mixing
    digests: dict[str, str]
    """Mapping from file (or source, if the rows depend on more than files) to a SHA-256 that identifies the data."""
    warnings: list[str]
    skipped: tuple[Skipped, ...]
    """Damaged files and bad rows that the source leaves out, by split."""

    @property
    def row_counts(self) -> dict[str, int]:
        """Mapping from split to the number of its rows."""
        return {name: split.rows for name, split in self.splits.items()}

    @property
    def tables(self) -> dict[str, Table]:
        """Mapping from split to the table of its raw rows."""
        return {name: split.origin.table for name, split in self.splits.items() if split.origin is not None}


def data_facts(spec: DataSpec, context: Context, *, look: bool = True) -> DataFacts:
    """Infer fields (shape, dtype ...) of inputs and targets from a data section, without loading data. A missing file
    is no error.

    With `look=False` no file is accessed. Raises DataError if a column is not among those of the source, or a transform
    does not fit its input.
    """
    source = spec.source if look else spec.source.with_paths(lambda path: f"{_NOWHERE}/{path}")
    facts = None
    with suppress(DataError):
        facts = source.facts(context)
    if facts is not None:
        check_source_memory(spec.source, facts)
        check_where(spec.where, facts)
    fields = by_section(_fields_before_data(spec, facts))
    inputs, targets = fields["inputs"], fields["targets"]
    check_display_columns(context.display_columns, facts, targets)
    are_sized = all(None not in field.shape for each in fields.values() for field in each.values())
    if len(inputs) + len(targets) == len(spec.inputs) + len(spec.targets):
        inputs = mixed_inputs(spec.augment, inputs, targets)
    return DataFacts(inputs, targets, facts is not None and are_sized)


def _fields_before_data(spec: DataSpec, facts: Fields | None) -> Iterator[tuple[tuple[str, str], Field]]:
    """Yield the output field of each pipeline whose columns are among the source's `facts`. Raises DataError."""
    for named in named_pipelines_of(spec):
        for column in named.columns if facts is not None else ():
            _needed_column(named, Table({name: np.empty(0) for name in facts or ()}, 0), column, spec.columns())
        known = {name: Field(each.shape, each.dtype.name) for name, each in spec.source.decoders().items()}
        columns = {name: (facts or known).get(name) or spec.source.any_column for name in named.columns}
        if None not in columns.values():
            yield named.id, FittedPipeline(named, cast(Fields, columns), {}).made


def load_data(
    spec: DataSpec,
    context: Context,
    *,
    validation_split: float = 0.0,
    learned: States | None = None,
    keep: Collection[str] = (),
) -> PreparedData:
    """Load and split the data, fit the transforms (unless `learned` has their states), and prepare every split.

    Raw columns in `keep` are loaded beside those in use. Raises DataError, ConfigError, FileRefused, StorageError.
    """
    spec = spec.with_transforms(lambda _, transform: transform.with_paths(lambda path: str(context.folder / path)))
    columns = spec.columns() | context.display_columns.keys() | {*keep}
    context = replace(context, columns=columns, shown=columns - spec.columns())
    loaded, states, whole = spec.source.load(context), learned, spec.model_copy(update={"split": None})

    def prepared(tables: Sequence[Table]) -> PreparedData:
        return _prepared(spec, context, dict(zip(loaded, tables, strict=True)), validation_split, learned)

    def check(table: Table) -> None:  # of the training rows first; a row is bad or not wherever a split puts it
        nonlocal states
        split_tables(spec, {"train": table}, context)
        states = _prepared(whole, context, {"train": table}, 0.0, states).learned

    return skipping(list(loaded.values()), prepared, check, skip=spec.source.skips_bad_rows())


def _prepared(
    spec: DataSpec, context: Context, loaded: Tables, validation_split: float, learned: States | None
) -> PreparedData:
    """Return the tables of a source, split, fitted (unless `learned` has the states) and prepared."""
    opened = {name: spec.source.open_files(t, context) for name, t in rows_where(loaded, spec.where).items()}
    tables = split_tables(spec, opened, context)
    if "train" not in tables:
        text = f"the source '{spec.source.component_name}' has no 'train' split, only {', '.join(tables)}"
        raise DataError(text, path=("data", "source"))
    if validation_split > 0:
        tables = cut_tail(tables, validation_split, spec.source.series_column())
    if learned is None:
        columns = _column_fields(spec, tables["train"], context)
        learned = learn([*_inferred(spec, columns, tables["train"])], tables["train"], columns)
    preparer, found = fitted_preparer(spec, learned, targets=True, progress=context.progress), stages(spec, learned)
    splits = {name: preparer.split(table) for name, table in tables.items()}
    skipped = tuple(filter(None, dict.fromkeys(table.skipped for table in (*loaded.values(), *opened.values()))))
    warnings = [*map(str, skipped), *(table.note for table in opened.values() if table.note)]
    warnings += [text for state in learned.values() for text in state.warnings]
    mixing = Mixing(mixes(spec.augment, found.facts.inputs, found.facts.targets))
    return PreparedData(
        found.facts, found.input_stage, found.target_stage, found.inverses, splits, dict(learned),
        display_columns(context.display_columns, tables, spec.source.facts(context) or {}, found.facts.targets), mixing,
        digests(spec, context, tables), warnings, skipped,
    )  # fmt: skip


def stages(spec: DataSpec, learned: States) -> Stages:
    """Return the `Stages` of a run from its learned state alone: fields of inputs and targets, modules of per-batch
    steps, functions that undo the targets' preprocessing."""
    pipelines = fitted_pipelines(spec, learned).values()
    fields = by_section((each.named.id, each.made) for each in pipelines)
    modules = by_section((each.named.id, module) for each in pipelines if (module := each.per_batch()) is not None)
    of_targets = ((each.named.name, each.inverse()) for each in pipelines if each.named.section == "targets")
    inverses = {name: undo for name, undo in of_targets if undo is not None}
    facts = DataFacts(mixed_inputs(spec.augment, fields["inputs"], fields["targets"]), fields["targets"])
    return Stages(facts, Stage(modules["inputs"]), Stage(modules["targets"]), inverses)


def no_stages() -> Stages:
    """Return empty `Stages` (no fields, no per-batch steps), for a run whose model inputs no pipeline prepares."""
    return Stages(DataFacts({}, {}, known=False), Stage({}), Stage({}), {})


def fitted_preparer(spec: DataSpec, learned: States, *, targets: bool, progress: Progress | None = None) -> Preparer:
    """Return an object that applies a run's fitted pipelines to new rows: all pipelines or, without `targets`, only
    those of the inputs."""
    fitted = fitted_pipelines(spec, learned)
    return Preparer([each for (section, _), each in fitted.items() if targets or section == "inputs"], progress)


def named_pipelines_of(spec: DataSpec) -> list[NamedPipeline]:
    """Return all pipelines of a data section, each with its section (`inputs`, `targets` ...) and name."""
    in_inputs = {step.shared for pipeline in spec.inputs.values() for step in pipeline.steps} - {None}
    of_targets = {("targets", n) for n, p in spec.targets.items() if in_inputs.isdisjoint(s.shared for s in p.steps)}
    pipelines, hint = spec.all_pipelines(), spec.source.gap_hint
    return [NamedPipeline(p.columns, p.stacked, p.steps, *id, id in of_targets, hint) for id, p in pipelines.items()]


def fitted_pipelines(spec: DataSpec, learned: States) -> dict[tuple[str, str], FittedPipeline]:
    """Return all pipelines of a data section with a run's learned states, by section and name."""
    columns = known_columns(learned)
    return {named.id: FittedPipeline(named, columns, learned) for named in named_pipelines_of(spec)}


def _inferred(spec: DataSpec, columns: Fields, table: Table) -> Iterator[FittedPipeline]:
    """Yield the pipelines of a data section before they are fitted. Raises DataError, for a column of numbers that a
    stray value in `table` has made text, or of integers that a gap has made floats, one that names that value."""
    for named in named_pipelines_of(spec):
        try:
            yield FittedPipeline(named, columns, {})
        except DataError as error:
            raise stray_value_error(named, table) or gap_error(named, table) or error from None


def _column_fields(spec: DataSpec, table: Table, context: Context) -> dict[str, Field]:
    """Return a mapping from each column that pipelines read to its field; the source's unknown sizes stay unknown."""
    source_facts = spec.source.facts(context) or {}
    fields: dict[str, Field] = {}
    for named in named_pipelines_of(spec):
        for column in named.columns:
            values = _needed_column(named, table, column, spec.columns())
            own = Field.of(values)
            coded = table.coded(column) if named.reads_text(column) and not own.is_text else None
            found = set[str]() if coded is None else set(map(str.strip, coded.words.to_pylist()))
            if forms := [*filter(found.intersection, BOOLEANS)]:  # booleans of a text file, which has the words
                own = replace(own, dtype="string", words=forms[0] if len(forms) == 1 else None)
            if fields.get(column, own).dtype != own.dtype:
                text = f"'{column}' has booleans, of which one pipeline takes the words, and another the numbers"
                raise named.fault(text, hint="give one of them a column of its own, by a copy in the file or a query")
            known = source_facts.get(column, own)
            field = fields.get(column, known)
            if named.section == "targets" and field.num_classes is None:
                first, count = _label_range(table.column(column)) or (None, None)
                field = replace(field, num_classes=count, first_class=first)
            shape = known.shape if None in known.shape else own.shape
            fields[column] = replace(field, shape=shape, dtype=own.dtype, words=own.words)
    return fields


def _label_range(values: Values) -> tuple[int, int] | None:
    """Return (smallest label, number of classes) of a column of integer class labels, none negative; else None."""
    if values.dtype.kind not in "iu" or math.prod(values.shape[1:]) != 1 or not len(values):
        return None
    least, most = zip(*((int(block.min()), int(block.max())) for block in blocks(values)), strict=True)
    return (min(least), max(most) + 1) if min(least) >= 0 else None


def _needed_column(named: NamedPipeline, table: Table, column: str, used: Collection[str]) -> Values:
    """Return some values of a column of the training rows, which show its dtype and row shape.

    Raises DataError at the place in the config that names the column; `used` are the columns of other pipelines.
    """
    try:
        return table.like(column)
    except DataError as error:
        if column in table:
            raise
        fault = error.faults[0]
        columns = f"the columns of {table.name}" if table.name else "the columns"
        hint = fault.hint and fault.hint.replace("the columns", columns, 1)
        parts = re.split(r"[,\s]+", column.strip())
        if len(parts) > 1 and all(part in table for part in parts):
            hint = f"several columns are a list with commas: columns: {in_yaml(parts)}"
        elif column in ALL_COLUMNS:
            own = [name for name in table if name not in used]
            hint = f"all columns are written as a list: columns: {in_yaml(own)}"
        raise DataError(replace(fault, path=named.column_path(column), place=None, hint=hint)) from None
