"""Advice check: warns of settings without effect, because another setting that they belong to is not set."""

from collections.abc import Iterator
from typing import Any

from kerascli.config.sections.fit import FitSpec
from kerascli.foundation.errors import Fault, Path
from kerascli.workflow.advice.case import Case, warning

_NEEDED = {
    "ema_momentum": ("use_ema", "use_ema: true"),
    "ema_overwrite_frequency": ("use_ema", "use_ema: true"),
    "nesterov": ("momentum", "momentum: 0.9"),
    "warmup_target": ("warmup_steps", "warmup_steps: 1000"),
}
"""Mapping from an argument of optimizers and schedules to the argument that it needs, and an example of that."""
_OF_VALIDATION = ("validation_steps", "validation_batch_size", "validation_freq")


def check(case: Case) -> Iterator[Fault]:
    """Yield a warning for each setting of validation without validation, and of an optimizer's idle arguments."""
    fit = case.spec.fit
    for key in _OF_VALIDATION if not fit.validates() else ():
        if getattr(fit, key) != FitSpec.model_fields[key].default:
            text, hint = f"{key} has no effect: there is no validation", "add validation_split: 0.2, or remove it"
            yield warning(text, ("fit", key), hint)
    updates = case.config.document.at(("fit", "train_step"))
    paths: list[Path] = [("fit", "train_step", n, "optimizer") for n, _ in enumerate(updates or ())]
    for path in paths or [("compile", "optimizer")]:
        yield from _idle(case.config.document.at(path), path)


def _idle(written: Any, path: Path) -> Iterator[Fault]:
    """Yield a warning for each idle argument of an optimizer, as written at a path, and of the components in it."""
    if not isinstance(written, dict):
        return
    for key, value in written.items():
        needed, example = _NEEDED.get(str(key), ("", ""))
        if needed and value not in (None, False) and not written.get(needed):
            yield warning(f"{key} has no effect without {needed}", (*path, key), f"add {example}, or remove {key}")
        yield from _idle(value, (*path, key))
