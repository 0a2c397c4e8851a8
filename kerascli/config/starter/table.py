"""Draft a config for a table: inputs by the roles of its columns, target, split, and a model by the number of rows."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from kerascli.config.composition.references import escape_references
from kerascli.config.starter.columns import MAX_WORDS, Column, copies, missing
from kerascli.config.starter.dates import times_of, unseen_parts
from kerascli.config.starter.draft import Draft, columns, free_name, listed
from kerascli.config.starter.ladder import FEW_ROWS, MEMBERS, committee, head, table_layers, width_of
from kerascli.config.starter.look import Looked
from kerascli.config.starter.target import OTHERWISE, Target, choose, describe
from kerascli.config.starter.texts import text_input, text_table
from kerascli.config.starter.training import compile_section, fit_section
from kerascli.data.split import grouped_split, ordered_split
from kerascli.foundation.errors import DataError, Fault, Place, in_yaml, safe_text

_LEAST_ROWS = 10
_PARTS = {"validation": 0.15, "test": 0.15}
_INPUTS = ("numbers", "skewed", "words", "prose")
_WEIGHT = re.compile(r"(^|[_ .-])(weights?|wgt|wt)$", re.IGNORECASE)
"""Pattern of the names of columns that may hold sample weights."""


def table_draft(looked: Looked, found: Mapping[str, Column], given: str | None, kind: str | None, path: str) -> Draft:
    """Return the draft of a config for a table; `given` is the option `--target`, `kind` is `--model`.
    Raises ConfigError, DataError."""
    if looked.all_rows < _LEAST_ROWS:
        text = f"{looked.rows} rows: at least {_LEAST_ROWS} are needed to train, validate and test"
        raise DataError(Fault(text, place=Place(looked.name)))
    name, why = choose(looked, found, given)
    target = describe(looked, name)
    found = _without_copies(looked, found, target)
    used = {key: column for key, column in found.items() if key != name}
    order = next((column.name for column in used.values() if column.orders), None)
    if order is not None:
        used = _seen_in_training(looked, used, order)
    proses = [column for column in used.values() if column.role == "prose"]
    others = [column for column in used.values() if column.role in ("numbers", "skewed", "words")]
    others += [column for column in used.values() if column.role == "date" and (column.parts or order is None)]
    if not proses and not others:  # what seems to be an identifier is the only input
        others = [replace(column, role="numbers", reason="") for column in used.values() if column.may_be_number]
        used |= {column.name: column for column in others}
    if not proses and not others:
        roles = {column.name: column.role if column.role == "date" else column.reason for column in used.values()}
        reasons = ", ".join(f"{safe_text(each)}: {reason}" for each, reason in roles.items())
        raise DataError(Fault("no column to learn from", place=Place(looked.name), hint=reasons or None))
    source = {looked.source: {"path": escape_references(path), **escape_references(looked.settings)}}
    draft = Draft(_summary(target))
    for finding in looked.findings:
        draft.decide("data", finding)
    draft.decide("data", f"target: {safe_text(name)} ({why if given is not None else f'{why}; {OTHERWISE}'})")
    for decision in target.decisions:
        draft.decide("data", decision)
    data: dict[str, Any] = {"source": source}
    if target.where:
        data["where"] = {name: escape_references(target.where)}
    split = _split(draft, looked, used, target)
    data["split"] = escape_references(split)
    if target.classes and not _meets_all(looked, target, split):
        target = target.with_vocabulary()
        draft.decide("data", "the classes are written out: the rows to train on may not have all of them")
    draft.sections["data"] = data
    key = free_name(name)
    data["inputs"] = {}
    data["targets"] = {key: [*([] if key == name else [columns(name)]), *escape_references(target.steps)]}
    if proses and not others:
        return text_table(draft, looked, proses[0], target, kind)
    timed = "order" in split
    data["inputs"] = _inputs(draft, used, timed=timed, taken=key)
    _model(draft, looked.all_rows, kind, head(target.classes, key))
    compile_section(draft, target.classes, balanced=target.balanced)
    fit_section(draft, looked.all_rows, balanced=target.balanced)
    return draft


def _model(draft: Draft, rows: int, kind: str | None, last: dict[str, Any]) -> None:
    """Add the section `model` to the draft: of the given kind, or by default chosen by the number of rows.
    Raises ConfigError."""
    inputs = list(draft.sections["data"]["inputs"])
    if kind is None and rows < FEW_ROWS:
        draft.sections["model"] = committee(inputs, rows, last)
        sizes = f"{width_of(rows)} and {width_of(rows) // 2}"
        draft.decide("model", f"few rows: the mean of {MEMBERS} small networks, with hidden layers of {sizes}")
        return
    layers, said = table_layers(kind, inputs, rows, last)
    draft.sections["model"] = {"layers": layers}
    draft.decide("model", said)


def _summary(target: Target) -> str:
    name = safe_text(target.column)
    if not target.classes:
        return f"Predicts the number '{name}'."
    return f"Classifies rows into {len(target.classes)} classes of '{name}'."


def _without_copies(looked: Looked, found: Mapping[str, Column], target: Target) -> Mapping[str, Column]:
    """Return the roles of the columns; a column whose values map one to one onto the target's classes is left out."""
    if not target.classes or looked.rows < 20:
        return found
    candidates = {
        name: looked.columns[name]
        for name, column in found.items()
        if name == target.column or (column.different == len(target.classes) and not column.has_gaps)
    }
    if target.where:
        return found
    same = copies(candidates, target.column)
    return {
        name: Column(name, "left out", reason=f"each value goes with one of '{safe_text(target.column)}'")
        if name in same
        else column
        for name, column in found.items()
    }


def _meets_all(looked: Looked, target: Target, split: Mapping[str, Any]) -> bool:
    """Return True if the training split will have rows of all classes, judging by the examined rows."""
    labels = looked.columns[target.column]
    present = ~missing(labels)
    labels = labels[present]
    if "order" in split:
        times = looked.columns[split["order"]][present].astype(str)
        labels = labels[np.argsort(times, kind="stable")[: int(0.7 * len(labels))]]
        return len(np.unique(labels)) == len(target.classes) and looked.rows == looked.all_rows
    if "group" in split:
        pairs = np.unique(np.stack([labels.astype(str), looked.columns[split["group"]][present].astype(str)]), axis=1)
        return bool(np.unique(pairs[0], return_counts=True)[1].min() >= 5)
    return target.stratify or bool(np.unique(labels, return_counts=True)[1].min() >= 20)


def _seen_in_training(looked: Looked, used: Mapping[str, Column], order: str) -> dict[str, Column]:
    """Return the roles of columns for a split by the dates of the column `order`: without those that have one value in
    the training rows, and without parts of dates of which the later rows have other values."""
    times = times_of(looked.columns[order].tolist(), "")
    assert times is not None
    is_train = np.zeros(looked.rows, bool)
    is_train[ordered_split(times, _PARTS)["train"]] = True
    found: dict[str, Column] = {}
    for name, column in used.items():
        values, present = looked.columns[name], ~missing(looked.columns[name])
        seen = values[is_train & present]
        if column.role == "date":
            own = times_of(values[present].tolist(), column.date_format)
            assert own is not None
            unseen = unseen_parts(own, is_train[present], column.parts)
            parts = tuple(part for part in column.parts if part not in unseen)
            column = replace(column, parts=parts, reason=", ".join(unseen))
        elif column.role in _INPUTS and (not len(seen) or (seen == seen[0]).all()):
            column = replace(column, role="left out", reason="one value in the rows to train on")
        found[name] = column
    return found


def _split(draft: Draft, looked: Looked, used: Mapping[str, Column], target: Target) -> dict[str, Any]:
    """Return the `data.split` section: by time if there are dates, else grouped by identifier, stratified by class."""
    split: dict[str, Any] = dict(_PARTS)
    dates = [column for column in used.values() if column.orders]
    groups = [column for column in used.values() if column.role == "group"]
    if dates:
        name = safe_text(dates[0].name)
        said = f"split by time: the rows with the latest {name} are for the test, those before to validate"
        draft.decide("data", said)
        if groups:
            said = f"'{safe_text(groups[0].name)}' repeats: split by it instead if new ones are predicted"
            draft.decide("data", said)
        return {**split, "order": dates[0].name}
    said = "70 % of the rows are trained on, 15 % validate, 15 % are for 'kerascli evaluate'"
    others = [
        column for column in used.values() if column.role == "date" and column.date_format and not column.has_gaps
    ]
    if others and not groups:
        said += f"; drawn at random: to split by {safe_text(others[0].name)} (order), write it as 2026-11-27"
    if target.stratify:
        split["stratify"] = target.column
        said += ", each with the same shares of the classes"
    if groups and _divides(looked, groups[0].name, split):
        split["group"] = groups[0].name
        said += f"; all rows of one '{safe_text(groups[0].name)}' are in one part"
    elif groups:
        said += f"; '{safe_text(groups[0].name)}' repeats, but has too few values to split by"
    draft.decide("data", said)
    return split


def _divides(looked: Looked, group: str, split: Mapping[str, Any]) -> bool:
    """Return True if each part of a split by the column `group` has rows, by some seeds."""
    groups = np.unique(looked.columns[group].astype(str), return_inverse=True)[1]
    classes = np.zeros_like(groups)
    if "stratify" in split:
        classes = np.unique(looked.columns[split["stratify"]].astype(str), return_inverse=True)[1]
    return all(map(len, (rows for seed in range(10) for rows in grouped_split(groups, classes, _PARTS, seed).values())))


def _inputs(draft: Draft, used: Mapping[str, Column], *, timed: bool, taken: str) -> dict[str, list[Any]]:
    """Return a mapping from input name to pipeline: one for numbers, one for skewed numbers (log), one for each other
    column."""
    inputs = _numbers(draft, used)
    words: list[Column] = []
    for column in used.values():
        if column.role not in ("words", "date", "prose"):
            continue
        name = free_name(column.name, [*inputs, taken])
        steps: list[Any] = [] if name == column.name else [columns(column.name)]
        if column.role == "prose":
            inputs[name] = [*steps, *text_input(draft, column)]
        elif column.role == "words":
            inputs[name] = [*steps, *_words(column)]
            words.append(column)
        elif date := _date(draft, column, timed=timed):
            inputs[name] = [*steps, *date]
    _ask_about_weights(draft, used, taken)
    if words:
        draft.decide("data", f"words, a place for each: {listed(column.name for column in words)}")
    many = [column.name for column in words if column.different > MAX_WORDS]
    if many:
        draft.decide("data", f"the {MAX_WORDS - 1} most frequent words, the others share a place: {listed(many)}")
    for column in used.values():
        if column.role in ("left out", "group"):
            draft.decide("data", f"left out: {safe_text(column.name)} ({column.reason})")
    return inputs


def _numbers(draft: Draft, used: Mapping[str, Column]) -> dict[str, list[Any]]:
    """Return a mapping from input name to pipeline for numeric columns: one for skewed columns, one for the others."""
    inputs: dict[str, list[Any]] = {}
    for role, steps, why in (
        ("numbers", [], "numbers, scaled to mean 0 and variance 1"),
        ("skewed", ["log1p"], "numbers with a few large values: their logarithm"),
    ):
        found = [column for column in used.values() if column.role == role]
        if not found:
            continue
        gaps = [column.name for column in found if column.has_gaps]
        names = [column.name for column in found]
        inputs[role] = [columns(names), {"impute": "median"}, *steps, "normalization"]
        draft.decide("data", f"{why}: {listed(names)}")
        if gaps:
            draft.decide("data", f"missing values become the median: {listed(gaps)}")
    return inputs


def _ask_about_weights(draft: Draft, used: Mapping[str, Column], target: str) -> None:
    """Say how to use a column called `weight`, which is an input as any other, as weights of the rows instead."""
    for column in used.values():
        if column.role in ("numbers", "skewed") and _WEIGHT.search(column.name):
            name = safe_text(column.name)
            instead = in_yaml({"sample_weight": {target: {"columns": column.name}}})[1:-1]
            draft.decide("data", f"'{name}' is an input; to weigh the rows by it instead: {instead}")


def _date(draft: Draft, column: Column, *, timed: bool) -> list[Any]:
    """Return the transforms of a column of dates; [] if none of their parts is of use."""
    name = safe_text(column.name)
    if column.reason:
        said = "the later rows have values that the rows to train on lack"
        draft.decide("data", f"left out: the {column.reason} of {name} ({said})")
    parts = [*column.parts, *([] if timed else ["year"])]
    if not parts:
        if not column.reason:
            draft.decide("data", f"left out: {name} (no part of the date repeats)")
        return []
    draft.decide("data", f"date, as a place on the circle of {', '.join(parts)}: {name}")
    settings: dict[str, Any] = {"parts": parts, "cyclic": True}
    if column.date_format:
        settings["format"] = escape_references(column.date_format)
    return [{"impute": "most_frequent"}, {"datetime": settings}, "normalization"]


def _words(column: Column) -> list[Any]:
    lookup: dict[str, Any] = {"output_mode": "one_hot"}
    if column.different > MAX_WORDS:
        lookup["max_tokens"] = MAX_WORDS
    return [{"impute": {"strategy": "constant", "fill_value": "missing"}}, {"string_lookup": lookup}]
