"""Division of a table's rows in a generated config: parts to train, validate and test."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from kerascli.config.starter.columns import Column, Roles
from kerascli.config.starter.dates import unseen_parts
from kerascli.config.starter.draft import Draft
from kerascli.config.starter.sample import SampledTable
from kerascli.config.starter.target import Target
from kerascli.data.dates import parsed_times
from kerascli.data.split import grouped_split, ordered_split
from kerascli.data.storage.blocks import unique_inverse
from kerascli.data.storage.table import missing
from kerascli.foundation.errors import safe_text

_PARTS = {"validation": 0.15, "test": 0.15}


def order_of(used: Roles) -> str | None:
    """Return the name of the date column in `used` by which rows can be split in time; None if there is none."""
    return next((column.name for column in used.values() if column.orders), None)


def may_lack_classes(split: Mapping[str, Any]) -> bool:
    """Return True if the training rows may lack a class by a split: one by time or groups, or of too rare classes."""
    return "stratify" not in split or "group" in split


def seen_in_training(table: SampledTable, used: Roles, order: str) -> dict[str, Column]:
    """Return the columns in `used` with their roles changed for a split of rows by the dates in the column `order`.

    A column with fewer than two distinct values in the training rows gets the role `left out`, unless it is a date or
    group column. From a date column, those parts (month, hour ...) are removed that have fewer than two distinct values
    in the training rows, or that have a value in other rows which no training row has. Missing values do not count.
    """
    is_train = np.zeros(table.rows, bool)
    is_train[ordered_split(parsed_times(table.columns[order].tolist(), None, "s"), _PARTS)["train"]] = True
    seen: dict[str, Column] = {}
    for name, column in used.items():
        values, present = table.columns[name], ~missing(table.columns[name])
        in_training = values[is_train & present]
        if column.role == "date":
            times = parsed_times(values[present].tolist(), column.date_format or None, "s")
            unseen = unseen_parts(times, is_train[present], column.parts)
            parts = tuple(part for part in column.parts if part not in unseen)
            column = replace(column, parts=parts, reason=", ".join(unseen))
        elif column.role not in ("group", "left out") and len(np.unique(in_training)) < 2:
            column = column.left_out("one value in the rows to train on")
        seen[name] = column
    return seen


def split_rows(draft: Draft, table: SampledTable, used: Roles, target: Target) -> dict[str, Any]:
    """Return the `data.split` section: by time if there are dates, else grouped by identifier, stratified by class.

    `used` maps the names of the columns that the config uses to the columns with their roles (date, identifier ...);
    `target` says by which class column to stratify. The reasons for the split are added to `draft`, the draft of the
    config, for its comments.
    """
    split: dict[str, Any] = dict(_PARTS)
    order = order_of(used)
    group = next((column.name for column in used.values() if column.role == "group"), None)
    if order is not None:
        name = safe_text(order)
        latest = f"the rows with the latest {name} are for the test, those before to validate"
        draft.decide("data", f"split by time: {latest}")
        if group is not None:
            draft.decide("data", f"'{safe_text(group)}' repeats: split by it instead if new ones are predicted")
        return {**split, "order": order}
    reason = "70 % of the rows are trained on, 15 % validate, 15 % are for 'kerascli evaluate'"
    dates = [column.name for column in used.values() if column.date_format and not column.has_gaps]
    if dates and group is None:
        reason += f"; drawn at random: to split by {safe_text(dates[0])} (order), write it as 2026-11-27"
    if target.stratify:
        split["stratify"] = target.column
        reason += ", each with the same shares of the classes"
    if group is not None:
        if _divides(table, group, split):
            split["group"] = group
            reason += f"; all rows of one '{safe_text(group)}' are in one part"
        else:
            reason += f"; '{safe_text(group)}' repeats, but has too few values to split by"
    draft.decide("data", reason)
    return split


def _divides(table: SampledTable, group: str, split: Mapping[str, Any]) -> bool:
    """Return True if each part of a split by the column `group` has rows, by some seeds."""
    groups = unique_inverse(table.columns[group].astype(str))[1]
    stratify = split.get("stratify")
    classes = np.zeros_like(groups) if stratify is None else unique_inverse(table.columns[stratify].astype(str))[1]
    return all(map(len, (rows for seed in range(10) for rows in grouped_split(groups, classes, _PARTS, seed).values())))
