"""Run all advice checks, which warn of configs that are valid but probably wrong, for each phase of training."""

from collections.abc import Callable, Iterable, Iterator

from kerascli.config.yaml.document import one_error
from kerascli.foundation.errors import Fault
from kerascli.foundation.events import Note
from kerascli.workflow.advice.case import Case
from kerascli.workflow.advice.input_columns import constant_inputs, target_leaks, unseen_dates
from kerascli.workflow.advice.predictions import logits, single_unit_softmax
from kerascli.workflow.advice.repeated_rows import repeated_rows
from kerascli.workflow.advice.settings import idle_settings, unfit_pixels
from kerascli.workflow.advice.target_columns import class_shares, constant_targets, sorted_labels

CHECKS: tuple[Callable[[Case], Iterator[Fault]], ...] = (
    class_shares, constant_inputs, idle_settings, target_leaks, logits, constant_targets, single_unit_softmax,
    repeated_rows, sorted_labels, unfit_pixels, unseen_dates,
)  # fmt: skip
"""All advice checks, functions that yield warnings; for the same line, the earlier check's warning is first."""


def advise(cases: Iterable[Case]) -> list[Fault]:
    """Return the warnings of all advice checks for a config, sorted by line, without duplicates.

    `cases` has a Case (config and data) for each phase of training.
    """
    located = (case.config.error([fault for check in CHECKS for fault in check(case)]) for case in cases)
    return list(one_error(fault for each in located for fault in each.everything).everything)


def notes(faults: Iterable[Fault]) -> Iterator[Note]:
    """Yield a `Note` event for each warning about a config, to be printed."""
    for fault in faults:
        _, *below = fault.lines()
        yield Note(fault.text, "warning", str(fault.place or ""), tuple(below))
