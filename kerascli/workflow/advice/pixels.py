"""Advice check of pixels: the preprocessing of an input, and what the published network that takes it expects."""

from collections.abc import Iterator

from kerascli.data.section import Pipeline
from kerascli.data.transforms.preprocess import Preprocess
from kerascli.features.rescaling import RescalingTransform
from kerascli.foundation.errors import Fault
from kerascli.model.ir.nodes import Call
from kerascli.workflow.advice.case import Case, warning

_TF = (1 / 127.5, -1.0)


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
