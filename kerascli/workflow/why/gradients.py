"""Integrated gradients: the share of each place of the inputs in a score (Sundararajan et al., 2017)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from kerascli.data.batches.loader import BatchSource
from kerascli.data.batches.rows import MemorySplit
from kerascli.foundation import draws
from kerascli.foundation.errors import ConfigError, safe_text
from kerascli.model.runtime.graph import Graph
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.why.score import Score

STEPS = 64
"""Number of points between baseline and row at which integrated gradients take the gradient."""
ROWS = 32
"""Number of rows that are explained at once."""
_NO_GRADIENT = "the prediction has no gradient with respect to the inputs: its operations are constant by pieces"

Ends = Sequence[tuple[str, Tensor]]
"""Differentiable tensors that stand for the inputs of some rows, each with the name of its input."""


@dataclass(frozen=True, slots=True)
class Attributions:
    """Share of each place of the inputs in the difference of the scores of rows and of their baseline."""

    inputs: dict[str, Tensor]
    """Mapping from input to attributions (rows, *) of its places, without the axis of an embedding."""
    missing: float
    """Share of the differences that the attributions miss or exceed; 0 where they are complete."""


@dataclass(slots=True)
class _Entry:
    """Places where integer inputs become floats in a model: as the output of an embedding, or as an argument that a
    layer casts. The floats stand for the inputs, since integers have no gradient."""

    floats: list[tuple[str, Tensor]] = field(default_factory=list)
    """Floats in the order in which they are computed, each with the name of its input."""
    replaced: list[Tensor] | None = None
    """Tensors in place of the floats, in the same order; None: the floats themselves."""

    def pass_on(self, name: str, values: Tensor) -> Tensor:
        """Return the tensor in place of `values`, the floats of the input `name`, or record them."""
        if self.replaced is not None:
            return self.replaced.pop(0)
        self.floats.append((name, values.detach()))
        return values

    def hook_output(self, name: str, module: nn.Module, arguments: object, output: object) -> Tensor:
        if not isinstance(output, Tensor):
            text = f"integrated gradients: the layer that reads the integers of '{safe_text(name)}' has several results"
            raise ConfigError(text)
        return self.pass_on(name, output)

    def hook_arguments(self, names: Sequence[str | None], module: nn.Module, arguments: Sequence[Tensor]) -> Any:
        return tuple(
            values if name is None else self.pass_on(name, values)
            for name, values in zip(names, arguments, strict=True)
        )


def integrated_gradients(run: LoadedRun, rows: MemorySplit, baseline: MemorySplit | None, score: Score) -> Attributions:
    """Return the integrated gradients of rows along the line from a baseline: one row, or zeros if None.

    Raises ConfigError if the model has no gradients.
    """
    step, parts = run.experiment.module, dict[str, list[Tensor]]()
    missed, difference = 0.0, 0.0
    start = None if baseline is None else next(iter(BatchSource(baseline, 1, run.experiment.device).epoch(0)))
    with in_evaluation(run), _entered(step.graph) as entry:
        for number, batch in enumerate(BatchSource(rows, ROWS, run.experiment.device).epoch(0)):
            zeros = {name: torch.zeros_like(values) for name, values in batch.inputs.items()}
            own = _floats(step.graph, step.input_stage(dict(batch.inputs)))
            base = _floats(step.graph, step.input_stage(zeros if start is None else dict(start.inputs)))
            base = {name: base[name].expand_as(values) for name, values in own.items()}
            ends = _ends(run, entry, base), _ends(run, entry, own)
            values, gain = _path(run, entry, own, ends, lambda outputs, n=number: score(outputs, n * ROWS))
            for name, each in values.items():
                parts.setdefault(name, []).append(each.cpu())
            missed += float((sum(each.reshape(len(each), -1).sum(1) for each in values.values()) - gain).abs().sum())
            difference += float(gain.abs().sum())
    return Attributions({name: torch.cat(each) for name, each in parts.items()}, missed / (difference or 1.0))


@contextmanager
def in_evaluation(run: LoadedRun) -> Iterator[None]:
    """Context manager in which a run's model predicts, with gradients."""
    run.experiment.module.eval()
    # cuDNN has no backward pass of recurrent layers in evaluation
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        yield


@contextmanager
def _entered(graph: Graph) -> Iterator[_Entry]:
    """Context manager that yields the entry of a model's integer inputs, whose hooks it removes at the end."""
    source = {each.name: each.name for each in graph.model.inputs if each.spec.is_integer}
    entry, handles = _Entry(), list[RemovableHandle]()
    for node, module in zip(graph.model.nodes, graph.nodes, strict=True):
        names = [source.get(name) for name in node.inputs]
        name = next(filter(None, names), None)
        if name is None:
            continue
        if all(graph.specs[output].is_integer for output in node.outputs):
            source |= dict.fromkeys(node.outputs, name)
        elif node.layer.takes_integers:
            handles.append(module.register_forward_hook(partial(entry.hook_output, name)))
        else:
            handles.append(module.register_forward_pre_hook(partial(entry.hook_arguments, names)))
    try:
        yield entry
    finally:
        for handle in handles:
            handle.remove()


def _floats(graph: Graph, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return inputs as floats where the model takes floats, such as bytes of pictures."""
    integers = {each.name for each in graph.model.inputs if each.spec.is_integer}
    return {name: values if name in integers else values.float() for name, values in inputs.items()}


def run_model(run: LoadedRun, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the outputs of a model for preprocessed inputs; one that samples always draws the same numbers."""
    with draws.using(draws.Draws(run.experiment.spec.seed, "why", 0)):
        return run.experiment.module.run(inputs).outputs


def _ends(run: LoadedRun, entry: _Entry, inputs: Mapping[str, Tensor]) -> Ends:
    """Return the tensors that stand for inputs: those of floats, then those of integers, where they become floats."""
    entry.replaced, entry.floats = None, []
    with torch.no_grad():
        run_model(run, inputs)
    floats = [(name, values) for name, values in inputs.items() if values.is_floating_point()]
    return [*floats, *entry.floats]


def _path(
    run: LoadedRun, entry: _Entry, own: Mapping[str, Tensor], ends: tuple[Ends, Ends], score: Callable[..., Tensor]
) -> tuple[dict[str, Tensor], Tensor]:
    """Return (attributions of the rows `own` by input, the difference of their scores and those of the baseline)."""
    names = [name for name, _ in ends[0]]
    floats = sum(values.is_floating_point() for values in own.values())

    def at(share: float) -> tuple[Tensor, list[Tensor]]:
        leaves = [torch.lerp(a, b, share).requires_grad_() for (_, a), (_, b) in zip(*ends, strict=True)]
        entry.replaced = leaves[floats:]
        return score(run_model(run, {**own, **dict(zip(names[:floats], leaves[:floats], strict=True))})), leaves

    sums = [torch.zeros_like(values) for _, values in ends[0]]
    for number in range(STEPS):
        for total, gradient in zip(sums, gradients_of(*at((number + 0.5) / STEPS)), strict=True):
            total += gradient / STEPS
    with torch.no_grad():
        gain = at(1.0)[0] - at(0.0)[0]
    attributions: dict[str, Tensor] = {}
    for total, (name, a), (_, b) in zip(sums, *ends, strict=True):
        shape = own[name].shape
        shares = (total * (b - a)).detach()
        places = shares.reshape(*shape, -1) if shares.shape[: len(shape)] == shape else shares.reshape(len(shares), -1)
        attributions[name] = attributions.get(name, 0) + places.sum(-1)
    return attributions, gain


def gradients_of(scores: Tensor, leaves: Sequence[Tensor]) -> list[Tensor]:
    """Return the gradients of scores with respect to tensors. Raises ConfigError if there are none."""
    if not scores.requires_grad:
        raise ConfigError(_NO_GRADIENT, hint="--method permutation or occlusion needs none")
    gradients = torch.autograd.grad(scores.sum(), leaves, allow_unused=True)
    return [torch.zeros_like(a) if g is None else g for a, g in zip(leaves, gradients, strict=True)]
