"""Advice checks of settings without effect, and of pixels that are not scaled as the published network that takes them
expects."""

from collections.abc import Iterator
from typing import Any

from kerascli.config.sections.fit import FitSpec
from kerascli.data.section import Pipeline
from kerascli.data.transforms.preprocess import Preprocess
from kerascli.features.rescaling import RescalingTransform
from kerascli.foundation.errors import Fault, Path
from kerascli.model.ir.nodes import Call
from kerascli.workflow.advice.case import Case, warning

_NEEDED = {
    "ema_momentum": ("use_ema", "use_ema: true"),
    "ema_overwrite_frequency": ("use_ema", "use_ema: true"),
    "nesterov": ("momentum", "momentum: 0.9"),
    "warmup_target": ("warmup_steps", "warmup_steps: 1000"),
}
"""Mapping from an argument of optimizers and schedules to the argument that it needs, and an example of that."""
_OF_VALIDATION = ("validation_steps", "validation_batch_size", "validation_freq")
_TF = (1 / 127.5, -1.0)


def idle_settings(case: Case) -> Iterator[Fault]:
    """Yield a warning for each setting of a config that has no effect.

    Checked are settings of validation if `fit` validates nothing, and arguments of optimizers that need another
    argument.
    """
    fit = case.spec.fit
    for key in _OF_VALIDATION if not fit.validates() else ():
        if getattr(fit, key) != FitSpec.model_fields[key].default:
            text, hint = f"{key} has no effect: there is no validation", "add validation_split: 0.2, or remove it"
            yield warning(text, ("fit", key), hint)
    updates = case.config.document.at(("fit", "train_step"))
    paths: list[Path] = [("fit", "train_step", n, "optimizer") for n, _ in enumerate(updates or ())]
    for path in paths or [("compile", "optimizer")]:
        yield from _idle_arguments(case.config.document.at(path), path)


def _idle_arguments(written: Any, path: Path) -> Iterator[Fault]:
    """Yield a warning for each idle argument of an optimizer, as written at a path, and of the components in it."""
    for key, value in written.items() if isinstance(written, dict) else ():
        needed, example = _NEEDED.get(str(key), ("", ""))
        is_off = not written.get(needed) and written.get(needed) is not False  # `false` says so, as in resolved.yaml
        if needed and value not in (None, False) and is_off:
            yield warning(f"{key} has no effect without {needed}", (*path, key), f"add {example}, or remove {key}")
        yield from _idle_arguments(value, (*path, key))


def unfit_pixels(case: Case) -> Iterator[Fault]:
    """Yield a warning for each input that a base with published weights takes in another form than it was trained on.

    Only bases that are called on an input of the data itself are checked.
    """
    for call in case.spec.model.entries:
        begin = case.spec.bases.get(call.of.name) if isinstance(call, Call) else None
        if not isinstance(call, Call) or begin is None or begin.application is None:
            continue
        network = begin.network[0]
        expected = network.family.preprocess or "none"
        for path, pipeline in case.inputs():
            if path[-1] not in call.inputs or (modes := _modes(pipeline)) == [expected]:
                continue
            hint = f"{path[-1]}: [..., {{preprocess: {network.name}}}], without rescaling"
            text = f"'{call.of.name}' is {network.name}, whose weights are for pixels of the mode '{expected}'"
            yield warning(f"{text}, not '{', '.join(modes)}'", path, hint)


def _modes(pipeline: Pipeline) -> list[str]:
    """Return the mode of each step that scales pixels; or `none`."""
    steps = [step.transform for step in pipeline.steps]
    modes = [each.mode for each in steps if isinstance(each, Preprocess)]
    for each in steps:
        if isinstance(each, RescalingTransform):
            modes.append("tf" if (each.scale, each.offset) == _TF else "rescaling")
        elif each.component_name == "normalization":
            modes.append("normalization")
    return [mode for mode in modes if mode != "none"] or ["none"]
