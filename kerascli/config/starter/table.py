"""Generate a config for a table: inputs by the roles of its columns, target, split, and model."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kerascli.config.composition.references import escape_references
from kerascli.config.starter.columns import MAX_WORDS, Column, Roles, copies
from kerascli.config.starter.draft import Draft, column_step, columns, free_name, listed
from kerascli.config.starter.models import Layers, head, table_model
from kerascli.config.starter.named_files import FileColumn
from kerascli.config.starter.sample import SampledTable
from kerascli.config.starter.split import may_lack_classes, order_of, seen_in_training, split_rows
from kerascli.config.starter.target import OTHERWISE, Target, choose, describe
from kerascli.config.starter.texts import complete
from kerascli.foundation.errors import DataError, counted, safe_text

_LEAST_ROWS = 10
_MISSING_WORD = {"impute": {"strategy": "constant", "fill_value": "missing"}}


def table_draft(
    table: SampledTable, roles: Roles, option: str | None, kind: str | None, path: str, files: Sequence[FileColumn] = ()
) -> Draft:
    """Generate the draft of a config for a table; `option` is the value of `--target`, `kind` that of `--model`.

    `roles` maps the names of its columns to the columns with their roles, `path` is the path of the table in the
    config, `files` are its columns that name images or sounds. Raises ConfigError, DataError.
    """
    if table.all_rows < _LEAST_ROWS:
        text = f"{counted(table.rows, 'row')}: at least {_LEAST_ROWS} are needed to train, validate and test"
        raise DataError(text, place=table.name)
    name, why = choose(roles, option)
    target = describe(table, name)
    used = _used(table, _without_copies(table, roles, target), name)
    shown, count = safe_text(name), len(target.classes)
    summary = f"Classifies rows into {count} classes of '{shown}'." if count else f"Predicts the number '{shown}'."
    draft, source = table.draft(summary, path, target.classes, balanced=target.balanced)
    reason = why if option is not None else f"{why}; {OTHERWISE}"
    draft.decide("data", f"target: {shown} ({reason})", *target.decisions)
    where = {"where": {name: escape_references(target.where)}} if target.where else {}
    split = split_rows(draft, table, used, target)
    if target.classes and may_lack_classes(split):
        target = target.with_vocabulary()
        draft.decide("data", "the classes are written out: the rows to train on may not have all of them")
    key = free_name(name)
    targets = {key: [*column_step(name, key), *escape_references(target.steps)]}
    data = {"source": source, **where, "split": escape_references(split), "inputs": {}, "targets": targets}
    draft.sections["data"] = data
    proses = [column for column in used.values() if column.role == "prose"]
    if proses and not _inputs_but_prose(used):
        column = proses[0]
        name = free_name(column.name, [key])
        return complete(draft, name, key, column.mean_words, column_step(column.name, name), kind)
    data["inputs"] = _inputs(draft, used, timed="order" in split, excluded=key)
    front = _add_files(draft, data, files, Path(table.name), path)
    last = head(target.classes, key)
    names = [f"{name}_features" if name in front else name for name in data["inputs"]]
    draft.sections["model"], reason = table_model(kind, names, table.all_rows, last)
    draft.sections["model"]["layers"][:0] = [layer for layers in front.values() for layer in layers]
    draft.decide("model", reason)
    draft.compile()
    draft.fit(images=bool(files))
    return draft


def _add_files(
    draft: Draft, data: dict[str, Any], files: Sequence[FileColumn], table: Path, path: str
) -> dict[str, Layers]:
    """Add the columns that name files to the source and the inputs; return the layers on each such input by name."""
    front: dict[str, Layers] = {}
    (settings,) = data["source"].values()
    for each in files:
        name = free_name(each.column, [*data["inputs"], *data["targets"]])
        settings.setdefault("files", {}).update(each.source(table, path))
        scaled = [{"rescaling": "$(1/255)"}] if each.reader == "image" else []
        data["inputs"][name] = [*column_step(each.column, name), *scaled]
        front[name] = each.layers(name)
        draft.decide("data", each.reason)
    return front


def _used(table: SampledTable, roles: Roles, target: str) -> Roles:
    """Return the roles of the columns other than the target. Raises DataError if no column is an input."""
    used = {name: column for name, column in roles.items() if name != target}
    if (order := order_of(used)) is not None:
        used = seen_in_training(table, used, order)
    if _inputs_but_prose(used) or any(column.role == "prose" for column in used.values()):
        return used
    # what seems to be an identifier may be the only input
    numbers = {name: replace(each, role="numbers", reason="") for name, each in used.items() if each.may_be_number}
    if not numbers:
        reasons = ((each.name, each.role if each.role == "date" else each.reason) for each in used.values())
        hint = ", ".join(f"{safe_text(name)}: {reason}" for name, reason in reasons)
        raise DataError("no column to learn from", place=table.name, hint=hint or None)
    return used | numbers


def _inputs_but_prose(used: Roles) -> bool:
    """Return True if there is an input column other than free text: numeric, categorical, or with dates of use."""
    timed = order_of(used) is not None
    dated = any(column.role == "date" and (column.parts or not timed) for column in used.values())
    return dated or any(column.is_number or column.role in ("words", "files") for column in used.values())


def _without_copies(table: SampledTable, roles: Roles, target: Target) -> Roles:
    """Return the roles of the columns; a column whose values map one to one onto the target's classes is left out."""
    if not target.classes or target.where or table.rows < 20:
        return roles
    count = len(target.classes)
    names = [name for name, column in roles.items() if column.different == count and not column.has_gaps]
    candidates = {name: table.columns[name] for name in [*names, target.column]}
    reason = f"each value goes with one of '{safe_text(target.column)}'"
    return {**roles, **{name: roles[name].left_out(reason) for name in copies(candidates, target.column)}}


def _inputs(draft: Draft, used: Roles, *, timed: bool, excluded: str) -> dict[str, list[Any]]:
    """Return a mapping from input name to pipeline: one for numbers, one for skewed numbers (log), one for each other
    column."""
    inputs = _numbers(draft, list(used.values()))
    for column in used.values():
        if column.role in ("words", "date", "prose") and (steps := _transforms(draft, column, timed=timed)):
            name = free_name(column.name, [*inputs, excluded])
            inputs[name] = [*column_step(column.name, name), *steps]
    draft.decide("data", *_word_reasons([column for column in used.values() if column.role == "words"]))
    left_out = (column for column in used.values() if column.role in ("left out", "group"))
    draft.decide("data", *(f"left out: {safe_text(column.name)} ({column.reason})" for column in left_out))
    return inputs


def _word_reasons(columns: Sequence[Column]) -> Iterator[str]:
    if columns:
        yield f"words, a place for each: {listed(column.name for column in columns)}"
    if many := [column.name for column in columns if column.different > MAX_WORDS]:
        yield f"the {MAX_WORDS - 1} most frequent words, the others share a place: {listed(many)}"


def _numbers(draft: Draft, used: Sequence[Column]) -> dict[str, list[Any]]:
    """Return a mapping from input name to pipeline for numeric columns: one for skewed columns, one for the others."""
    inputs: dict[str, list[Any]] = {}
    for role, steps, why in (
        ("numbers", [], "numbers, scaled to mean 0 and variance 1"),
        ("skewed", ["log1p"], "numbers with a few large values: their logarithm"),
    ):
        if names := [column.name for column in used if column.role == role]:
            inputs[role] = [columns(names), {"impute": "median"}, *steps, "normalization"]
            draft.decide("data", f"{why}: {listed(names)}")
        if gaps := [column.name for column in used if column.role == role and column.has_gaps]:
            draft.decide("data", f"missing values become the median: {listed(gaps)}")
    return inputs


def _transforms(draft: Draft, column: Column, *, timed: bool) -> list[Any]:
    """Return the transforms of a categorical, text or date column; [] if no part of the dates is of use."""
    if column.role == "date":
        return _date(draft, column, timed=timed)
    if column.role == "words":
        most = {"max_tokens": MAX_WORDS} if column.different > MAX_WORDS else {}
        return [_MISSING_WORD, {"string_lookup": {"output_mode": "one_hot", **most}}]
    draft.decide("data", f"a text: the words that it has, of the 2,000 most frequent: {safe_text(column.name)}")
    vector = {"text_vectorization": {"max_tokens": 2000, "output_mode": "multi_hot"}}
    return [_MISSING_WORD, vector] if column.has_gaps else [vector]


def _date(draft: Draft, column: Column, *, timed: bool) -> list[Any]:
    name = safe_text(column.name)
    if column.reason:
        reason = "the later rows have values that the rows to train on lack"
        draft.decide("data", f"left out: the {column.reason} of {name} ({reason})")
    if parts := [*column.parts, *([] if timed else ["year"])]:
        draft.decide("data", f"date, as a place on the circle of {', '.join(parts)}: {name}")
    elif not column.reason:
        draft.decide("data", f"left out: {name} (no part of the date repeats)")
    form = {"format": escape_references(column.date_format)} if column.date_format else {}
    steps = [{"impute": "most_frequent"}, {"datetime": {"parts": parts, "cyclic": True, **form}}, "normalization"]
    return steps if parts else []
