"""Run all checks over a config, or over the phases of one: each warning once, in order of line."""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

from kerascli.errors import Fault
from kerascli.events import Note
from kerascli.spec.document import one_error
from kerascli.workflow.advice import checks
from kerascli.workflow.advice.case import Case

Check = Callable[[Case], Iterator[Fault]]


def advise(cases: Iterable[Case]) -> list[Fault]:
    """Return the warnings with their places."""
    found: dict[tuple[Any, ...], Fault] = {}
    for case in cases:
        faults = [fault for check in _checks() for fault in check(case)]
        for fault in case.config.error(faults).everything if faults else ():
            found.setdefault((fault.place, fault.text), fault)  # what two phases share is said once
    return list(one_error(found.values()).everything)


def notes(faults: Iterable[Fault]) -> Iterator[Note]:
    """Return warnings as events."""
    for fault in faults:
        _, *below = fault.lines()
        yield Note(fault.text, "warning", str(fault.place or ""), tuple(below))


@cache
def _checks() -> tuple[Check, ...]:
    names = sorted(module.name for module in pkgutil.iter_modules(checks.__path__))
    return tuple(importlib.import_module(f"{checks.__name__}.{name}").check for name in names)
