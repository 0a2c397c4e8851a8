"""Methods that look at one row: Grad-CAM, where a convolution speaks for a class (Selvaraju et al., 2017); occlusion,
how much a score falls without a part of a picture or a word (Zeiler and Fergus, 2014)."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from kerascli.data.batches.rows import MemorySplit
from kerascli.foundation.errors import ConfigError
from kerascli.layers.convolutional.convolution import BaseConvolutionModule
from kerascli.model.runtime.graph import Graph
from kerascli.training.evaluate import predict
from kerascli.workflow.fitting.plan import rows_in_order
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.rows.command_rows import rows_of
from kerascli.workflow.why.gradients import gradients_of, in_evaluation
from kerascli.workflow.why.score import Score, must_have, outputs_of, parts

_PATCHES = 8
"""Number of patches along the shorter side of a picture; they overlap by half."""


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
    features: list[Tensor] = []

    def hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        features[:] = [output.detach().requires_grad_()]
        return features[0]

    maps: list[Tensor] = []
    handle = modules[name].register_forward_hook(hook)
    try:
        with in_evaluation():
            for inputs, own_score in parts(run, rows, score):
                scores = own_score.log_odds(outputs_of(run, inputs))
                (gradient,) = gradients_of(scores, features)
                maps.append(torch.relu((features[0] * gradient.mean((1, 2), keepdim=True)).sum(-1)).detach().cpu())
    finally:
        handle.remove()
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
        for top in range(0, height - side + 1, max(1, side // 2)):
            for left in range(0, width - side + 1, max(1, side // 2)):
                covered, patch = pictures.clone(), (slice(top, top + side), slice(left, left + side))
                covered[:, *patch] = mean
                fall = before - own_score(outputs_of(run, {**inputs, name: covered}))
                sums[:, *patch] += fall[:, None, None]
                counts[patch] += 1
        maps.append((sums / counts.clamp(min=1)).cpu())
    return torch.cat(maps)


def occluded_words(run: LoadedRun, texts: Sequence[str], score: Score) -> list[tuple[list[str], np.ndarray]]:
    """Return, for each text, its words and how much the score falls if each of them is left out."""
    reasons: list[tuple[list[str], np.ndarray]] = []
    for row, words in enumerate(text.split() for text in texts):
        without = [" ".join([*words[:place], *words[place + 1 :]]) for place in range(len(words))]
        rows = rows_of(run, targets=False, texts=[" ".join(words), *without])
        outputs = predict(run.experiment.module, run.shared_batches(rows_in_order(run.experiment, rows, metrics=False)),
                          seed=run.experiment.spec.seed)  # fmt: skip
        scores = score.of(np.full(rows.rows, row))(outputs)
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
