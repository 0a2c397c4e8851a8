"""Check that FSDP can divide a model's weights among processes: some settings need whole weights, or another torch."""

from collections.abc import Iterator
from importlib.metadata import version

from kerascli.callbacks.samples import Sampler
from kerascli.callbacks.tensorboard import TensorBoard
from kerascli.config.run import RunSpec
from kerascli.foundation.errors import Fault
from kerascli.layers.base import WeightedModule
from kerascli.layers.weight_spec import WeightSpec
from kerascli.model.ir.nodes import Node
from kerascli.optimizers.loss_scale_optimizer import LossScaleOptimizer
from kerascli.parts.distributions import FSDP

FIRST_TORCH = (2, 13)
"""Version of torch from which FSDP2 divides weights on CPUs, and keeps their memory in place, as optimizers need."""
_DDP = "use distribute: ddp"
_OF_WHOLE_WEIGHTS = ("regularizer", "constraint")


def fsdp_faults(spec: RunSpec, processes: int) -> Iterator[Fault]:
    """Yield the faults of a run that FSDP would divide among processes; none on one process, which uses no FSDP."""
    if processes == 1 or not isinstance(spec.fit.distribute, FSDP):
        return
    path = ("fit", "distribute")
    if (found := torch_version()) < FIRST_TORCH:
        text = (
            f"distribute: fsdp needs torch {'.'.join(map(str, FIRST_TORCH))} or newer, not {'.'.join(map(str, found))}"
        )
        yield Fault(text, path, hint="pip install --upgrade torch, or use distribute: ddp")
    if spec.fit.shards is not None:
        text = "shards: with fsdp, gradients are added in no fixed order: the bits depend on the number of processes"
        yield Fault(text, ("fit", "shards"), hint=f"remove shards, or {_DDP}")
    if spec.train_step is not None:
        yield Fault(
            "distribute: fsdp does not divide models that several updates train (fit.train_step)", path, hint=_DDP
        )
        return
    yield from _optimizer_faults(spec)
    for number, what in _whole_model_callbacks(spec):
        yield Fault(f"{what} needs whole weights on one process, which fsdp divides", ("fit", "callbacks", number))
    yield from _weight_faults(spec)


def refused_by_fsdp(spec: RunSpec) -> list[str]:
    """Return the names of what `ddp` takes and FSDP refuses, of a run with any `fit.distribute`."""
    found = [f"torch {'.'.join(map(str, torch_version()))}"] if torch_version() < FIRST_TORCH else []
    found += ["fit.shards"] * (spec.fit.shards is not None) + ["fit.train_step"] * (spec.train_step is not None)
    weights = [weight for _, weight in _trainable(spec)]
    found += [f"{kind}s" for kind in _OF_WHOLE_WEIGHTS if any(getattr(each, kind) is not None for each in weights)]
    return found + [what for _, what in _whole_model_callbacks(spec)]


def torch_version() -> tuple[int, ...]:
    """Return the two numbers of the installed torch's version."""
    return tuple(int(part) for part in version("torch").split("+")[0].split(".")[:2])


def _optimizer_faults(spec: RunSpec) -> Iterator[Fault]:
    if spec.compile is None:
        return
    optimizer, path = spec.compile.optimizer, ("compile", "optimizer")
    if isinstance(optimizer, LossScaleOptimizer):
        text = "dynamic loss scaling (mixed_float16) needs whole gradients, which fsdp divides"
        yield Fault(text, path, hint="use dtype policy mixed_bfloat16, which needs no loss scaling")
    if not optimizer.rule.elementwise:
        text = f"the optimizer '{optimizer.rule.component_name}' needs whole weights, which fsdp divides"
        yield Fault(text, path, hint=f"use adam_w, or {_DDP.removeprefix('use ')}")


def _whole_model_callbacks(spec: RunSpec) -> Iterator[tuple[int, str]]:
    """Yield number and name of each callback that needs the whole model."""
    for number, callback in enumerate(spec.fit.callbacks):
        draws_weights = isinstance(callback, TensorBoard) and callback.histogram_freq > 0
        if isinstance(callback, Sampler) or draws_weights:
            yield number, "histogram_freq" if draws_weights else f"the callback '{callback.component_name}'"


def _trainable(spec: RunSpec) -> Iterator[tuple[Node, WeightSpec]]:
    """Yield the trainable weights of all models, with their nodes; a layer that several models have comes once."""
    nodes = {node.name: (node, built.modules[node.name]) for built in spec.graphs for node in built.model.nodes}
    for node, module in nodes.values():
        parts = (part for part in module.modules() if isinstance(part, WeightedModule))
        yield from ((node, weight) for part in parts for weight in part.weight_specs.values() if weight.trainable)


def _weight_faults(spec: RunSpec) -> Iterator[Fault]:
    for node, weight in _trainable(spec):
        if not weight.shape:
            text = f"'{node.name}' has a trainable weight '{weight.name}' without axes, which fsdp cannot divide"
            yield Fault(text, node.path, "key", hint=_DDP)
        for kind in (kind for kind in _OF_WHOLE_WEIGHTS if getattr(weight, kind) is not None):
            hint = "use the optimizer's weight_decay" if kind == "regularizer" else _DDP
            text = f"the {kind} of '{weight.name}' in '{node.name}' needs the whole weight, which fsdp divides"
            yield Fault(text, node.path, "key", hint=hint)
