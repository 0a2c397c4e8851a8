"""Integrated gradients: the share of each place of the inputs in a score (Sundararajan et al., 2017)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from kerascli.data.batches.loader import BatchSource
from kerascli.data.batches.rows import MemorySplit
from kerascli.foundation.errors import ConfigError, safe_text
from kerascli.model.runtime.graph import Graph
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.why.score import Score, outputs_of, parts

STEPS = 64
"""Number of points between baseline and row at which integrated gradients take the gradient."""
_NO_GRADIENT = "the prediction has no gradient with respect to the inputs: its operations are constant by pieces"

_OTHERS = "--method permutation or occlusion"


class _Entry(NamedTuple):
    """Places where integer inputs become floats in a model: as the output of an embedding, or as an argument that a
    layer casts. The floats stand for the inputs, since integers have no gradient."""

    recorded: list[tuple[str, Tensor]]
    """Floats in the order in which they are computed, each with the name of its input."""
    replaced: list[Tensor]
    """Tensors in place of the floats of the next forward pass, in the same order; empty: the floats are recorded."""

    def pass_on(self, name: str | None, values: Any) -> Tensor:
        """Return the tensor in place of `values`, the floats of the input `name`, or record them."""
        if name is None:
            return values
        if not isinstance(values, Tensor):
            text = f"integrated gradients: the layer that reads the integers of '{safe_text(name)}' has several results"
            raise ConfigError(text, hint=_OTHERS)
        if self.replaced:
            return self.replaced.pop(0)
        self.recorded.append((name, values.detach()))
        return values


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
    with in_evaluation(), _entered(step.graph) as entry:
        for inputs, own_score in parts(run, rows, score):
            own, base = (_floats(step.graph, each) for each in (inputs, step.input_stage(dict(start.inputs))))
            base = {name: base[name].expand_as(values) for name, values in own.items()}
            placed = {name: torch.zeros(values.shape) for name, values in own.items()}
            shares, gain = _path(run, entry, own, base, own_score)
            for name, each in shares:
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
    run: LoadedRun, entry: _Entry, own: Mapping[str, Tensor], base: Mapping[str, Tensor], score: Score
) -> tuple[list[tuple[str, Tensor]], Tensor]:
    """Return (shares of the floats that stand for the inputs of rows, each with the name of its input; difference of
    the scores of the rows `own` and of their baseline `base`)."""
    floats = [name for name, values in own.items() if values.is_floating_point()]
    ends: list[list[tuple[str, Tensor]]] = []
    for inputs in (base, own):
        entry.recorded.clear()
        with torch.no_grad():
            outputs_of(run, inputs)
        ends.append([*((name, inputs[name]) for name in floats), *entry.recorded])

    def at(share: float) -> tuple[Tensor, list[Tensor]]:
        leaves = [torch.lerp(a, b, share).requires_grad_() for (_, a), (_, b) in zip(*ends, strict=True)]
        entry.replaced[:] = leaves[len(floats) :]
        return score(outputs_of(run, {**own, **dict(zip(floats, leaves, strict=False))})), leaves

    sums = [torch.zeros_like(values) for _, values in ends[0]]
    for number in range(STEPS):
        for total, gradient in zip(sums, gradients_of(*at((number + 0.5) / STEPS)), strict=True):
            total += gradient / STEPS
    with torch.no_grad():
        gain = at(1.0)[0] - at(0.0)[0]
    return [(name, total * (b - a)) for total, (name, a), (_, b) in zip(sums, *ends, strict=True)], gain


def gradients_of(scores: Tensor, leaves: Sequence[Tensor]) -> list[Tensor]:
    """Return the gradients of scores with respect to tensors. Raises ConfigError if there are none."""
    if not scores.requires_grad:
        raise ConfigError(_NO_GRADIENT, hint=_OTHERS)
    gradients = torch.autograd.grad(scores.sum(), leaves, allow_unused=True)
    return [torch.zeros_like(a) if g is None else g for a, g in zip(leaves, gradients, strict=True)]


@contextmanager
def in_evaluation() -> Iterator[None]:
    """Context manager in which predictions have gradients."""
    # cuDNN has no backward pass of recurrent layers in evaluation
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        yield


def _floats(graph: Graph, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return inputs as floats where the model takes floats, such as bytes of pictures."""
    integers = {each.name for each in graph.model.inputs if each.spec.is_integer}
    return {name: values if name in integers else values.float() for name, values in inputs.items()}


@contextmanager
def _entered(graph: Graph) -> Iterator[_Entry]:
    """Context manager that yields the entry of a model's integer inputs, whose hooks it removes at the end."""
    source = {each.name: each.name for each in graph.model.inputs if each.spec.is_integer}
    entry = _Entry([], [])
    with ExitStack() as hooks:
        for node, module in zip(graph.model.nodes, graph.nodes, strict=True):
            names = [source.get(name) for name in node.inputs]
            if (name := next(filter(None, names), None)) is None:
                continue
            if all(graph.specs[output].is_integer for output in node.outputs):
                source |= dict.fromkeys(node.outputs, name)
            elif node.layer.takes_integers:
                handle = module.register_forward_hook(lambda _, __, output, name=name: entry.pass_on(name, output))
                hooks.callback(handle.remove)
            else:
                handle = module.register_forward_pre_hook(
                    lambda _, arguments, names=names: tuple(map(entry.pass_on, names, arguments))
                )
                hooks.callback(handle.remove)
        yield entry
