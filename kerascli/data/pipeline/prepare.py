"""From a data section to rows: load, split, learn, prepare; and the facts of it all."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from torch import nn

from kerascli.data.base import Context, Field, Inverse, Learned
from kerascli.data.batches.rows import Split
from kerascli.data.digests import digests
from kerascli.data.mixing import Mixing, mixed_inputs, mixes
from kerascli.data.pipeline.columns import column_field, mostly_numbers
from kerascli.data.pipeline.display_columns import Shown, aside, check_aside
from kerascli.data.pipeline.learning import known_columns, learn
from kerascli.data.pipeline.pipeline import Stage, finished, infer, inverse, suffix
from kerascli.data.pipeline.preparer import Fields, Preparer
from kerascli.data.pipeline.room import check_source
from kerascli.data.pipeline.route import Route
from kerascli.data.pipeline.splitting import cut_tail, split_tables
from kerascli.data.section import DataSpec
from kerascli.data.storage.blocks import extremes
from kerascli.data.storage.on_disk import Values
from kerascli.data.storage.table import Table
from kerascli.data.storage.tokens import column_dtype, is_ragged
from kerascli.data.where import check_where, rows_where
from kerascli.errors import DataError, Fault


@dataclass(frozen=True, slots=True)
class DataFacts:
    """What the model gets, by name. Names of which nothing is known are absent; sizes may be None."""

    inputs: dict[str, Field]
    targets: dict[str, Field]
    known: bool = True
    """False when the data would have to be read to know more; `reason` says why."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Stages:
    """Facts and the modules that finish a batch: all that follows from a spec and what was learned."""

    facts: DataFacts
    input_stage: Stage
    target_stage: Stage
    inverses: dict[str, Inverse]
    """By target: what takes predictions of it back to the units of its column, where its transforms can be undone."""


@dataclass(frozen=True, slots=True)
class PreparedData(Stages):
    """Everything that training needs of the data."""

    splits: dict[str, Split]
    learned: dict[str, Learned]
    aside: dict[str, dict[str, Shown]]
    """By split and name what is shown beside what the model makes."""
    mixing: Mixing
    digests: dict[str, str]
    """What tells this data from other data: by file, and by source where the rows do not come from files alone."""
    warnings: list[str] = field(default_factory=list)
    tables: dict[str, Table] = field(default_factory=dict)
    """The raw rows by split, for who looks at them before training; cleared by then, so that they take no memory."""


def data_facts(spec: DataSpec, context: Context, *, look: bool = True) -> DataFacts:
    """What is known of inputs and targets without loading. Never fails for want of a file.

    Without `look` no file is looked for. Raises DataError when a column that is known to the source is missing, or a
    transform does not fit.
    """
    reason = ""
    known: Mapping[str, Field] | None = None
    try:
        known = (spec.source if look else spec.source.unseen()).facts(context)
    except DataError as error:
        reason = str(error)
    if known is not None:
        check_source(spec.source, known)
        check_where(spec.where, known)
    fields: dict[tuple[str, str], Field] = {}
    for route in _routes(spec):
        if known is not None:
            _check_columns(route, known)
        columns = {name: (known or {}).get(name) or spec.source.any_column for name in route.pipeline.columns}
        given = {name: found for name, found in columns.items() if found is not None}
        if len(given) == len(columns):
            steps = infer(route, column_field(route, given), {})
            fields[route.id] = finished(steps)
    check_aside(context.aside, known, _section(fields, "targets"))
    if known is None:
        reason = reason or f"the source '{spec.source.component_name}' says nothing before it is read"
    elif learned := [name for (_, name), field in fields.items() if None in field.shape]:
        known, reason = None, f"the size of '{learned[0]}' is learned from the data"
    inputs, targets = _section(fields, "inputs"), _section(fields, "targets")
    if len(inputs) + len(targets) == len(spec.inputs) + len(spec.targets):
        inputs = mixed_inputs(spec.augment, inputs, targets)
    return DataFacts(inputs, targets, known is not None, reason)


def load_data(
    spec: DataSpec, context: Context, *, validation_split: float = 0.0, learned: Mapping[str, Learned] | None = None
) -> PreparedData:
    """Load, split, learn (unless `learned` is given) and prepare every split.

    Raises DataError, ConfigError, FileRefused, StorageError.
    """
    spec = spec.located(context.folder)
    context = replace(context, columns=spec.columns() | context.aside.keys())
    tables = split_tables(spec, rows_where(spec.source.load(context), spec.where), context)
    routes = _routes(spec)
    if "train" not in tables:
        text = f"the source '{spec.source.component_name}' has no 'train' split, only {', '.join(tables)}"
        raise DataError(Fault(text, ("data", "source")))
    if validation_split > 0:
        tables = cut_tail(tables, validation_split)
    train = tables["train"]
    if learned is None:
        columns = _column_fields(spec, routes, train, context)
        _infer_all(routes, columns, {}, train)
        learned = learn(routes, train, columns)
    fields = _infer_all(routes, known_columns(learned), learned, train)
    preparer = Preparer(routes, fields, learned, context.progress)
    splits = {name: preparer.split(table) for name, table in tables.items()}
    found = _stages(spec, routes, fields, learned)
    warnings = [warning for item in learned.values() for warning in item.warnings]
    mixing = Mixing(mixes(spec.augment, found.facts.inputs, found.facts.targets))
    return PreparedData(
        found.facts, found.input_stage, found.target_stage, found.inverses, splits, dict(learned),
        aside(context.aside, tables, spec.source.facts(context) or {}, found.facts.targets), mixing,
        digests(spec, context, tables), warnings, dict(tables),
    )  # fmt: skip


def stages(spec: DataSpec, learned: Mapping[str, Learned]) -> Stages:
    """Facts and stages from what a run has kept, without its data."""
    columns = known_columns(learned)
    routes = _routes(spec)
    fields = _infer_all(routes, columns, learned)
    return _stages(spec, routes, fields, learned)


def no_stages() -> Stages:
    """Return the stages of a run that takes arrays as they are."""
    return Stages(DataFacts({}, {}, known=False), Stage({}), Stage({}), {})


def prepare_rows(spec: DataSpec, learned: Mapping[str, Learned], table: Table, *, targets: bool) -> Split:
    """Raw rows through the pipelines of a run. Without `targets` only inputs are read. Raises DataError."""
    columns = known_columns(learned)
    routes = [route for route in _routes(spec) if targets or route.section == "inputs"]
    fields = _infer_all(routes, columns, learned)
    return Preparer(routes, fields, learned).split(table)


def _routes(spec: DataSpec) -> list[Route]:
    pipelines = spec.all_pipelines()
    in_inputs = {s.shared for (section, _), p in pipelines.items() if section == "inputs" for s in p.steps if s.shared}
    routes = []
    for (section, name), pipeline in pipelines.items():
        mixed = any(step.shared in in_inputs for step in pipeline.steps)
        routes.append(Route(section, name, pipeline, target=section == "targets" and not mixed))
    return routes


def _infer_all(
    routes: list[Route], columns: Mapping[str, Field], learned: Mapping[str, Learned], table: Table | None = None
) -> Fields:
    """The fields along every route. With `table`, a number column that one word has turned into text is told so."""
    found: dict[tuple[str, str], list[Field]] = {}
    for route in routes:
        try:
            found[route.id] = infer(route, column_field(route, columns), learned)
        except DataError:
            spoilt = mostly_numbers(route, table) if table is not None else None
            if spoilt is None:
                raise
            raise spoilt from None
    return found


def _check_columns(route: Route, known: Mapping[str, Field]) -> None:
    for column in route.pipeline.columns:
        if column not in known:
            missing = Table({name: np.empty(0) for name in known}, 0)
            try:
                missing.column(column)
            except DataError as error:
                fault = error.faults[0]
                raise DataError(replace(fault, path=("data", route.section, route.name), place=None)) from None


def _column_fields(spec: DataSpec, routes: list[Route], table: Table, context: Context) -> dict[str, Field]:
    """The fields of the columns that the pipelines use; what the source says of them counts: a size left open, too."""
    said = spec.source.facts(context) or {}
    found: dict[str, Field] = {}
    for route in routes:
        for column in route.pipeline.columns:
            values = table.column(column)
            dtype = column_dtype(values)
            shape = (None,) if is_ragged(values) else values.shape[1:]
            given = found.get(column) or said.get(column) or Field(shape, dtype)
            if route.section == "targets" and given.num_classes is None:
                given = replace(given, num_classes=_count_classes(values))
            if column in said and None in said[column].shape:
                shape = said[column].shape
            found[column] = replace(given, shape=shape, dtype=dtype)
    return found


def _count_classes(values: Values) -> int | None:
    """How many classes there are, if these are class numbers: whole, from 0 on, one a row."""
    if values.dtype.kind not in "iu" or values.size != len(values) or not len(values):
        return None
    least, greatest = extremes(values)
    return greatest + 1 if least >= 0 else None


def _stages(spec: DataSpec, routes: list[Route], fields: Fields, learned: Mapping[str, Learned]) -> Stages:
    last: dict[tuple[str, str], Field] = {}
    modules: dict[str, dict[str, nn.Module]] = {"inputs": {}, "targets": {}, "sample_weight": {}}
    inverses: dict[str, Inverse] = {}
    for route in routes:
        last[route.id] = finished(fields[route.id])
        module = suffix(route, fields[route.id], learned)
        if module is not None:
            modules[route.section][route.name] = module
        if route.section == "targets" and (undo := inverse(route, fields[route.id], learned)) is not None:
            inverses[route.name] = undo
    inputs, targets = _section(last, "inputs"), _section(last, "targets")
    facts = DataFacts(mixed_inputs(spec.augment, inputs, targets), targets)
    return Stages(facts, Stage(modules["inputs"]), Stage(modules["targets"]), inverses)


def _section(fields: Mapping[tuple[str, str], Field], section: str) -> dict[str, Field]:
    """The facts by name. Of a vocabulary that inputs and targets share, each word is a class."""
    found = {name: field for (where, name), field in fields.items() if where == section}
    if section != "targets":
        return found
    return {n: replace(field, num_classes=field.num_classes or field.vocabulary_size) for n, field in found.items()}
