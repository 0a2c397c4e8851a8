"""Methods that explain each row: integrated gradients (Sundararajan et al., 2017), Grad-CAM (Selvaraju et al., 2017),
and occlusion of parts of pictures or of words (Zeiler and Fergus, 2014)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kerascli.data.batches.loader import BatchSource
from kerascli.data.batches.rows import MemorySplit
from kerascli.foundation.errors import ConfigError, safe_text
from kerascli.layers.convolutional.convolution import BaseConvolutionModule
from kerascli.model.runtime.graph import Graph
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.rows.command_rows import rows_of
from kerascli.workflow.why.score import Score, must_have, outputs_of, parts, predictions

STEPS = 64
"""Number of points between baseline and row at which integrated gradients take the gradient."""
_PATCHES = 8
"""Number of patches along the shorter side of a picture; they overlap by half."""
_OTHERS = "--method permutation or occlusion"


@dataclass(slots=True, eq=False)
class _Line:
    """Straight lines from a baseline to rows. They run where the inputs are floats in a model: the inputs themselves,
    or, as integers have no gradient, the output of an embedding, or an argument that a layer casts."""

    starts: list[tuple[str, Tensor]] = field(default_factory=list)
    """Floats of the baseline in the order in which they are computed, each with the name of its input."""
    points: list[Tensor] = field(default_factory=list)
    """Floats of the last forward pass, in the same order."""
    share: float | None = None
    """Place of the next forward pass on the line, from 0 (baseline) to 1 (rows); None: the baseline is recorded."""

    def at(self, name: str | None, values: Any) -> Any:
        """Return the point of the line whose end are `values`, the floats of the input `name`; None is no input."""
        if name is None:
            return values
        if not isinstance(values, Tensor):
            text = f"integrated gradients: the layer that reads the integers of '{safe_text(name)}' has several results"
            raise ConfigError(text, hint=_OTHERS)
        if self.share is None:
            self.starts.append((name, values.detach()))
            return values
        start = self.starts[len(self.points)][1]
        self.points.append(torch.lerp(start, values.detach(), self.share).requires_grad_())
        return self.points[-1]

    def score(self, run: LoadedRun, inputs: Mapping[str, Tensor], score: Score, share: float | None) -> Tensor:
        """Return the scores at a place of the line."""
        self.share, self.points = share, []
        floats = {name: self.at(name, values) for name, values in inputs.items() if values.is_floating_point()}
        return score(outputs_of(run, {**inputs, **floats}))


def integrated_gradients(
    run: LoadedRun, rows: MemorySplit, baseline: MemorySplit | None, score: Score
) -> tuple[dict[str, Tensor], float]:
    """Return the integrated gradients of rows along the line from a baseline: one row, or zeros if None.

    They are (attributions (rows, *) of the places of each input, without the axis of an embedding; share of the
    differences of the scores that they miss or exceed, 0 where they are complete). Raises ConfigError if the model has
    no gradients, or none for each place.
    """
    step, results = run.experiment.module, list[dict[str, Tensor]]()
    missed, difference = 0.0, 0.0
    zeros = MemorySplit({name: np.zeros_like(values[:1]) for name, values in rows.inputs.items()}, {}, {}, 1)
    (start,) = BatchSource(baseline or zeros, 1, run.experiment.device).epoch(0)
    with _in_evaluation(), _on_line(step.graph) as line:
        for inputs, own_score in parts(run, rows, score):
            own, base = (_floats(step.graph, each) for each in (inputs, step.input_stage(dict(start.inputs))))
            shares, gain = _path(run, line, own, base, own_score)
            placed = {name: torch.zeros(values.shape) for name, values in own.items()}
            for (name, _), each in zip(line.starts, shares, strict=True):
                shape = own[name].shape
                if each.shape[: len(shape)] != shape:
                    text = f"integrated gradients: the first layer joins the places of the input '{safe_text(name)}'"
                    raise ConfigError(text, hint=_OTHERS)
                placed[name] += each.reshape(*shape, -1).sum(-1).cpu()
            results.append(placed)
            missed += float((flat(placed).sum(1) - gain.cpu()).abs().sum())
            difference += float(gain.abs().sum())
    return {name: torch.cat([each[name] for each in results]) for name in results[0]}, missed / (difference or 1.0)


def flat(inputs: Mapping[str, Tensor]) -> Tensor:
    """Return values of the places of all inputs as one tensor (rows, places)."""
    return torch.cat([inputs[name].reshape(len(inputs[name]), -1) for name in sorted(inputs)], 1)


def _path(
    run: LoadedRun, line: _Line, own: Mapping[str, Tensor], base: Mapping[str, Tensor], score: Score
) -> tuple[list[Tensor], Tensor]:
    """Return (shares of the floats that stand for the inputs of the rows `own`; difference of the scores of the rows
    and of their baseline `base`)."""
    line.starts.clear()
    with torch.no_grad():
        line.score(run, {name: base[name].expand_as(values) for name, values in own.items()}, score, None)
    sums = [torch.zeros_like(values) for _, values in line.starts]
    for number in range(STEPS):
        scores = line.score(run, own, score, (number + 0.5) / STEPS)
        for total, gradient in zip(sums, _gradients_of(scores, line.points), strict=True):
            total += gradient / STEPS
    with torch.no_grad():
        before, after = (line.score(run, own, score, share) for share in (0.0, 1.0))
        shares = [total * (end - a) for total, end, (_, a) in zip(sums, line.points, line.starts, strict=True)]
    return shares, after - before


def _gradients_of(scores: Tensor, at: Sequence[Tensor]) -> list[Tensor]:
    """Return the gradients of scores with respect to tensors. Raises ConfigError if there are none."""
    if not scores.requires_grad:
        text = "the prediction has no gradient with respect to the inputs: its operations are constant by pieces"
        raise ConfigError(text, hint=_OTHERS)
    gradients = torch.autograd.grad(scores.sum(), at, allow_unused=True)
    return [torch.zeros_like(a) if g is None else g for a, g in zip(at, gradients, strict=True)]


@contextmanager
def _in_evaluation() -> Iterator[None]:
    """Context manager in which predictions have gradients."""
    # cuDNN has no backward pass of recurrent layers in evaluation
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        yield


def _floats(graph: Graph, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return inputs as floats where the model takes floats, such as bytes of pictures."""
    integers = {each.name for each in graph.model.inputs if each.spec.is_integer}
    return {name: values if name in integers else values.float() for name, values in inputs.items()}


@contextmanager
def _on_line(graph: Graph) -> Iterator[_Line]:
    """Context manager in which what a model computes first of integer inputs is on a line."""
    source = {each.name: each.name for each in graph.model.inputs if each.spec.is_integer}
    line = _Line()
    with ExitStack() as hooks:
        for node, module in zip(graph.model.nodes, graph.nodes, strict=True):
            names = [source.get(name) for name in node.inputs]
            if (name := next(filter(None, names), None)) is None:
                continue
            if all(graph.specs[output].is_integer for output in node.outputs):
                source |= dict.fromkeys(node.outputs, name)
                continue
            if node.layer.takes_integers:
                handle = module.register_forward_hook(lambda _, __, output, name=name: line.at(name, output))
            else:
                handle = module.register_forward_pre_hook(
                    lambda _, inputs, names=names: tuple(map(line.at, names, inputs))
                )
            hooks.callback(handle.remove)
        yield line


def grad_cam(run: LoadedRun, rows: MemorySplit, layer: str | None, score: Score) -> tuple[str, Tensor]:
    """Return (name of a layer, maps (rows, height, width) of where its output speaks for the score, at its own size).

    `layer` names a layer whose output has two axes of places; None: the last convolution. Raises ConfigError.
    """
    modules = dict(_layers_with_places(run.experiment.module.graph))
    convolutions = [name for name, module in modules.items() if isinstance(module, BaseConvolutionModule)]
    if layer is None and not convolutions:
        raise ConfigError("grad_cam: the model has no convolution over pictures", hint="--method integrated_gradients")
    name = convolutions[-1] if layer is None else layer
    must_have("--layer", name, modules, "layer with an output of (height, width, channels)")
    features, maps = list[Tensor](), list[Tensor]()

    def hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        features[:] = [output.detach().requires_grad_()]
        return features[0]

    with ExitStack() as hooks, _in_evaluation():
        hooks.callback(modules[name].register_forward_hook(hook).remove)
        for inputs, own_score in parts(run, rows, score):
            (gradient,) = _gradients_of(own_score.log_odds(outputs_of(run, inputs)), features)
            maps.append(torch.relu((features[0] * gradient.mean((1, 2), keepdim=True)).sum(-1)).detach().cpu())
    return name, torch.cat(maps)


@torch.no_grad()
def occluded_pictures(run: LoadedRun, rows: MemorySplit, name: str, score: Score) -> Tensor:  # (rows, height, width)
    """Return how much the score falls, at each pixel of the pictures of the input `name`, if a patch covers it.

    A patch has the picture's mean of each channel; a pixel's value is the mean over all patches that cover it.
    """
    maps: list[Tensor] = []
    for inputs, own_score in parts(run, rows, score):
        pictures, before = inputs[name].float(), own_score(outputs_of(run, inputs))
        height, width = pictures.shape[1:3]
        side = max(1, min(height, width) // _PATCHES)
        sums, counts = torch.zeros_like(pictures[..., 0]), torch.zeros_like(pictures[0, ..., 0])
        mean = pictures.mean((1, 2), keepdim=True)
        tops, lefts = ([*range(0, size - side, max(1, side // 2)), size - side] for size in (height, width))
        for top in tops:
            for left in lefts:
                covered, patch = pictures.clone(), (slice(top, top + side), slice(left, left + side))
                covered[:, *patch] = mean
                fall = before - own_score(outputs_of(run, {**inputs, name: covered}))
                sums[:, *patch] += fall[:, None, None]
                counts[patch] += 1
        maps.append((sums / counts).cpu())
    return torch.cat(maps)


def occluded_words(run: LoadedRun, texts: Sequence[str], score: Score) -> list[tuple[list[str], np.ndarray]]:
    """Return, for each text, its words and how much the score falls if each of them is left out."""
    reasons: list[tuple[list[str], np.ndarray]] = []
    for row, words in enumerate(text.split() for text in texts):
        without = [" ".join([*words[:place], *words[place + 1 :]]) for place in range(len(words))]
        rows = rows_of(run, targets=False, texts=[" ".join(words), *without])
        scores = score.of(np.full(rows.rows, row))(predictions(run, rows))
        reasons.append((words, (scores[0] - scores[1:]).numpy()))
    return reasons


def _layers_with_places(graph: Graph, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers, also of shared models, whose output is (height, width, channels), each by its name."""
    for node, module in zip(graph.model.nodes, graph.nodes, strict=True):
        inner = next((each for each in module.modules() if isinstance(each, Graph)), None)
        if inner is not None:
            yield from _layers_with_places(inner, f"{prefix}{node.name}.")
        elif all(graph.specs[name].rank == 3 for name in node.outputs if name != "_"):
            yield prefix + node.name, module
