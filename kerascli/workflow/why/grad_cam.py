"""Grad-CAM: where in a picture a convolution speaks for a class (Selvaraju et al., 2017)."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kerascli.data.batches.loader import BatchSource
from kerascli.data.batches.rows import MemorySplit
from kerascli.foundation.errors import ConfigError, safe_text, suggestion
from kerascli.layers.convolutional.convolution import BaseConvolutionModule
from kerascli.model.runtime.graph import Graph
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.why.gradients import ROWS, gradients_of, in_evaluation, run_model
from kerascli.workflow.why.score import Score


def grad_cam(run: LoadedRun, rows: MemorySplit, layer: str | None, score: Score) -> tuple[str, Tensor]:
    """Return (name of a layer, maps (rows, height, width) of where its output speaks for the score, at its own size).

    `layer` names a layer whose output has two axes of places; None: the last convolution. Raises ConfigError.
    """
    modules = dict(_layers_with_places(run.experiment.module.graph))
    convolutions = [name for name, module in modules.items() if isinstance(module, BaseConvolutionModule)]
    if layer is None and not convolutions:
        raise ConfigError("grad_cam: the model has no convolution over pictures", hint="--method integrated_gradients")
    name = convolutions[-1] if layer is None else layer
    if name not in modules:
        hint = f"it has {', '.join(modules)}" if modules else "--method integrated_gradients"
        text = f"--layer: no layer '{safe_text(name)}' has an output of (height, width, channels)"
        raise ConfigError(f"{text}{suggestion(name, modules)}", hint=hint)
    features: list[Tensor] = []

    def hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        features.append(output.detach().requires_grad_())
        return features[-1]

    maps: list[Tensor] = []
    handle = modules[name].register_forward_hook(hook)
    try:
        with in_evaluation(run):
            for number, batch in enumerate(BatchSource(rows, ROWS, run.experiment.device).epoch(0)):
                features.clear()
                outputs = run_model(run, run.experiment.module.input_stage(dict(batch.inputs)))
                (gradient,) = gradients_of(score.log_odds(outputs, number * ROWS), features[-1:])
                weights = gradient.mean((1, 2), keepdim=True)
                maps.append(torch.relu((features[-1] * weights).sum(-1)).detach().cpu())
    finally:
        handle.remove()
    return name, torch.cat(maps)


def resized(maps: Tensor, height: int, width: int) -> Tensor:  # (N, h, w) -> (N, height, width)
    """Return maps enlarged to the size of pictures, bilinearly."""
    return F.interpolate(maps[:, None], (height, width), mode="bilinear", align_corners=False)[:, 0]


def _layers_with_places(graph: Graph, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers, also of shared models, whose output is (height, width, channels), each by its name."""
    for node, module in zip(graph.model.nodes, graph.nodes, strict=True):
        inner = [each for each in module.modules() if isinstance(each, Graph)]
        for each in inner[:1]:
            yield from _layers_with_places(each, f"{prefix}{node.name}.")
        if not inner and all(graph.specs[name].rank == 3 for name in node.outputs if name != "_"):
            yield prefix + node.name, module
