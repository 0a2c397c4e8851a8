"""Methods that explain each row: integrated gradients (Sundararajan et al., 2017), Grad-CAM (Selvaraju et al., 2017),
and occlusion of parts of pictures or of words (Zeiler and Fergus, 2014)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kerascli.data.batches.rows import MemorySplit
from kerascli.foundation.errors import ConfigError, safe_text
from kerascli.layers.convolutional.convolution import BaseConvolutionModule
from kerascli.model.runtime.graph import Graph
from kerascli.report.reasons import Reason
from kerascli.workflow.predict import outputs_of
from kerascli.workflow.rows.command_rows import rows_of
from kerascli.workflow.why.score import Score, must_have

STEPS = 64
"""Number of points between baseline and row at which integrated gradients take the gradient."""
_PATCHES = 8
"""Number of patches along the shorter side of a picture; they overlap by half."""
_OTHERS = "--method permutation; of a picture or a text occlusion, too"
_without_cudnn = partial(torch.backends.cudnn.flags, enabled=False)
"""Context manager for gradients: cuDNN has no backward pass of recurrent layers in evaluation."""


@dataclass(slots=True, eq=False)
class _Recorder:
    """Recorder of the floats of a forward pass that stand for the inputs, which may replace them by others.

    They are the inputs themselves or, as integers have no gradient, the first floats that are computed of them: the
    output of an embedding, or an argument that a layer casts.
    """

    others: Sequence[Tensor] = ()
    """Floats to replace those of the next forward pass by; none: it keeps its own."""
    floats: list[tuple[str, Tensor]] = field(default_factory=list)
    """Floats of the last forward pass, before they were replaced, in order, each with the name of its input."""

    def take(self, name: str | None, values: Any) -> Any:
        """Record the floats `values` of the input `name`, and return those to go on with; None is no input."""
        if name is None:
            return values
        if not isinstance(values, Tensor):
            text = f"integrated gradients: the layer that reads the integers of '{safe_text(name)}' has several results"
            raise ConfigError(text, hint=_OTHERS)
        self.floats.append((name, values.detach()))
        return self.others[len(self.floats) - 1] if self.others else values

    def scores(self, inputs: Mapping[str, Tensor], score: Score, others: Sequence[Tensor] = ()) -> Tensor:
        """Return the scores of a forward pass."""
        self.floats, self.others = [], others
        own = {name: self.take(name, values) for name, values in inputs.items() if values.is_floating_point()}
        return score(score.outputs({**inputs, **own}))


@contextmanager
def _recording(graph: Graph) -> Iterator[_Recorder]:
    """Context manager in which the first floats that a model computes of its inputs are recorded."""
    source = {each.name: each.name for each in graph.model.inputs if each.spec.is_integer}
    recorder = _Recorder()
    with ExitStack() as hooks:
        for node, module in zip(graph.model.nodes, graph.nodes, strict=True):
            names = [source.get(name) for name in node.inputs]
            if (name := next(filter(None, names), None)) is None:
                continue
            if all(graph.specs[output].is_integer for output in node.outputs):
                source |= dict.fromkeys(node.outputs, name)
                continue
            if node.layer.takes_integers:
                handle = module.register_forward_hook(lambda _, __, output, name=name: recorder.take(name, output))
            else:
                handle = module.register_forward_pre_hook(
                    lambda _, inputs, names=names: tuple(map(recorder.take, names, inputs))
                )
            hooks.callback(handle.remove)
        yield recorder


def integrated_gradients(score: Score, baseline: MemorySplit) -> tuple[dict[str, Tensor], float]:
    """Return the integrated gradients of rows along the line from a baseline of one row.

    They are (attributions (rows, *) of the places of each input, without the axis of an embedding; share of the
    differences of the scores that they miss or exceed, 0 where they are complete). Raises ConfigError if the model has
    no gradients, or none for each place.
    """
    results, gains = list[dict[str, Tensor]](), list[Tensor]()
    ((start, _),) = score.parts(baseline)
    with _without_cudnn(), _recording(score.run.experiment.module.graph) as recorder:
        for own, own_score in score.parts():
            with torch.no_grad():
                recorder.scores({name: start[name].expand_as(values) for name, values in own.items()}, own_score)
                begins = [values for _, values in recorder.floats]
                before, after = recorder.scores(own, own_score, begins), recorder.scores(own, own_score)
            ends, sums = recorder.floats, [torch.zeros_like(values) for values in begins]
            for number in range(STEPS):
                share = (number + 0.5) / STEPS
                points = [torch.lerp(a, b, share).requires_grad_() for a, (_, b) in zip(begins, ends, strict=True)]
                gradients = _gradients_of(recorder.scores(own, own_score, points), points)
                for total, gradient in zip(sums, gradients, strict=True):
                    total += gradient / STEPS
            results.append({name: torch.zeros(values.shape) for name, values in own.items()})
            gains.append((after - before).cpu())
            for (name, end), begin, total in zip(ends, begins, sums, strict=True):
                shape = own[name].shape
                if end.shape[: len(shape)] != shape:
                    text = f"integrated gradients: the first layer joins the places of the input '{safe_text(name)}'"
                    raise ConfigError(text, hint=_OTHERS)
                results[-1][name] += (total * (end - begin)).reshape(*shape, -1).sum(-1).cpu()
    attributions = {name: torch.cat([each[name] for each in results]) for name in results[0]}
    missed = (flat(attributions).sum(1) - torch.cat(gains)).abs().sum()
    return attributions, float(missed / (torch.cat(gains).abs().sum() or 1.0))


def flat(inputs: Mapping[str, Tensor]) -> Tensor:
    """Return values of the places of all inputs as one tensor (rows, places)."""
    return torch.cat([inputs[name].reshape(len(inputs[name]), -1) for name in sorted(inputs)], 1)


def _gradients_of(scores: Tensor, at: Sequence[Tensor]) -> list[Tensor]:
    """Return the gradients of scores with respect to tensors. Raises ConfigError if there are none."""
    if not scores.requires_grad:
        text = "the prediction has no gradient with respect to the inputs: its operations are constant by pieces"
        raise ConfigError(text, hint=_OTHERS)
    return list(torch.autograd.grad(scores.sum(), at, allow_unused=True, materialize_grads=True))


def convolutions(graph: Graph) -> list[str]:
    """Return the names of a model's convolutions over pictures."""
    return [name for name, module in _layers_with_places(graph) if isinstance(module, BaseConvolutionModule)]


def grad_cam(score: Score, layer: str | None) -> tuple[str, Tensor]:
    """Return (name of a layer, maps (rows, height, width) of where its output speaks for the score, at its own size).

    `layer` names a layer whose output has two axes of places; None: the last convolution. Raises ConfigError.
    """
    graph, features, maps = score.run.experiment.module.graph, list[Tensor](), list[Tensor]()
    if layer is None and not (layer := next(reversed(convolutions(graph)), None)):
        raise ConfigError("grad_cam: the model has no convolution over pictures", hint="--method integrated_gradients")
    modules = dict(_layers_with_places(graph))
    must_have("--layer", layer, modules, "layer with an output of (height, width, channels)")

    def hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        features[:] = [output.detach().requires_grad_()]
        return features[0]

    with ExitStack() as hooks, _without_cudnn():
        hooks.callback(modules[layer].register_forward_hook(hook).remove)
        for inputs, own_score in score.parts():
            (gradient,) = _gradients_of(own_score(score.outputs(inputs), log_odds=True), features)
            maps.append(torch.relu((features[0] * gradient.mean((1, 2), keepdim=True)).sum(-1)).detach().cpu())
    return layer, torch.cat(maps)


@torch.no_grad()
def occluded_pictures(score: Score, name: str, shape: Sequence[int]) -> Tensor:
    """Return how much the score falls, at each pixel (rows, height, width) of the pictures of the input `name`, whose
    shape is (height, width, channels), if a patch covers it.

    A patch has the picture's mean of each channel; a pixel's value is the mean over all patches that cover it.
    """
    maps, (height, width, _) = list[Tensor](), shape
    side = max(1, min(height, width) // _PATCHES)
    tops, lefts = ([*range(0, size - side, max(1, side // 2)), size - side] for size in (height, width))
    for inputs, own_score in score.parts():
        before, pictures = own_score(score.outputs(inputs)), inputs[name].reshape(-1, *shape)
        sums, counts = torch.zeros_like(pictures[..., 0]), torch.zeros_like(pictures[0, ..., 0])
        mean = pictures.mean((1, 2), keepdim=True)
        for top in tops:
            for left in lefts:
                covered, patch = pictures.clone(), (slice(top, top + side), slice(left, left + side))
                covered[:, *patch] = mean
                fall = before - own_score(score.outputs({**inputs, name: covered.view_as(inputs[name])}))
                sums[:, *patch] += fall[:, None, None]
                counts[patch] += 1
        maps.append((sums / counts).cpu())
    return torch.cat(maps)


def occluded_words(score: Score, texts: Sequence[str]) -> Iterator[Reason]:
    """Yield, for each text, its words and how much the score falls if each of them is left out."""
    for row, words in enumerate(text.split() for text in texts):
        without = [" ".join([*words[:place], *words[place + 1 :]]) for place in range(len(words))]
        rows = rows_of(score.run, targets=False, texts=[" ".join(words), *without])
        scores = score.of(np.full(rows.rows, row))(outputs_of(score.run, rows))
        yield Reason((scores[0] - scores[1:]).numpy(), words)


def _layers_with_places(graph: Graph, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers, also of shared models, whose output is (height, width, channels), each by its name."""
    for node, module in zip(graph.model.nodes, graph.nodes, strict=True):
        inner = next((each for each in module.modules() if isinstance(each, Graph)), None)
        if inner is not None:
            yield from _layers_with_places(inner, f"{prefix}{node.name}.")
        elif all(graph.specs[name].rank == 3 for name in node.outputs if name != "_"):
            yield prefix + node.name, module
