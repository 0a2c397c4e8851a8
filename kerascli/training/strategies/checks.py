"""Config checks for several processes: losses are means over rows, rows are independent, FSDP can divide weights."""

from collections.abc import Iterator
from importlib.metadata import version

from kerascli.callbacks.samples import Sampler
from kerascli.callbacks.tensorboard import TensorBoard
from kerascli.config.run import RunSpec
from kerascli.foundation.errors import Fault, counted
from kerascli.language.component import Component
from kerascli.layers.base import WeightedModule
from kerascli.layers.normalization.batch_normalization import BatchNormalization
from kerascli.layers.weight_spec import WeightSpec
from kerascli.model.ir.gradients import differentiated
from kerascli.model.ir.nodes import Node
from kerascli.model.runtime.built import InnerNode
from kerascli.optimizers.loss_scale_optimizer import LossScaleOptimizer
from kerascli.parts.distributions import DDP, FSDP, REMOVED
from kerascli.training.checks import row_independence

FIRST_TORCH = (2, 13)
"""Version of torch from which FSDP2 divides weights on CPUs, and keeps their memory in place, as optimizers need."""
_DDP = "use distribute: ddp"
_OF_WHOLE_WEIGHTS = ("regularizer", "constraint")
_APART = "which are in different parts"
_ALONE = "train on one process, without fit.shards and fit.distribute"


def strategy_faults(spec: RunSpec, processes: int) -> list[Fault]:
    """Return config errors for settings that training on several processes (or with `fit.shards`) does not support.

    Settings whose results would change by more than rounding errors are not supported, either.
    """
    if isinstance(spec.fit.distribute, DDP) and spec.fit.distribute.shards_optimizer_state:
        return [_removed(spec)]
    if processes == 1 and spec.fit.shards in (None, 1):
        return []
    return [*_number_faults(spec, processes), *fsdp_faults(spec, processes), *_loss_faults(spec), *_node_faults(spec)]


def _removed(spec: RunSpec) -> Fault:
    fsdp = "distribute: {fsdp: {reshard_after_forward: false}}"
    if against := refused_by_fsdp(spec):
        hint = f"{fsdp} divides it, but not with {', '.join(against)}, as here; distribute: ddp divides none"
    else:
        hint = f"use {fsdp}, which divides it"
    text = f"{REMOVED}: ddp no longer divides the optimizer's state (ZeRO-1)"
    return Fault(text, ("fit", "distribute", "ddp", REMOVED), "key", hint=hint)


def strategy_lines(spec: RunSpec, processes: int) -> list[str]:
    """Return lines to print: how processes divide batches, and which layers normalize over a part of a batch."""
    parts = spec.fit.shards or processes
    if parts == 1:
        return []
    rows, rest = divmod(spec.fit.batch_size, parts)
    size = f"{rows} rows" if rest == 0 else f"{rows} or {rows + 1} rows"
    kind = "processes" if spec.fit.shards is None else "shards"
    lines = []
    if processes > 1 and isinstance(spec.fit.distribute, FSDP):
        lines.append(f"  fsdp: each process holds 1/{processes} of the weights, their gradients and optimizer state")
    lines += [f"  batches of {spec.fit.batch_size} rows: {parts} {kind} of {size} each"]
    for built in spec.graphs:
        for each in row_independence.with_inner_nodes(built):
            if _normalizes(each.node.layer, synchronized=False):
                lines.append(f"  '{each.node.name}' normalizes over the rows of a part, not of the whole batch")
    return list(dict.fromkeys(lines))


def _normalizes(layer: Component, *, synchronized: bool) -> bool:
    """Return True if a layer is a (not) synchronized batch normalization, or has one, as `time_distributed` may."""
    parts = row_independence.components_in(layer)
    return any(isinstance(each, BatchNormalization) and each.synchronized is synchronized for each in parts)


def _number_faults(spec: RunSpec, processes: int) -> Iterator[Fault]:
    shards, batch_size = spec.fit.shards, spec.fit.batch_size
    if shards is not None and shards % processes:
        text = f"shards: {counted(shards, 'shard')} cannot be divided among {processes} processes"
        yield Fault(text, ("fit", "shards"), hint="the number of processes must divide fit.shards")
    if shards is None and batch_size < processes:
        text = f"batch_size: a batch of {batch_size} rows cannot be divided among {processes} processes"
        yield Fault(text, ("fit", "batch_size"))


def _loss_faults(spec: RunSpec) -> Iterator[Fault]:
    for _, component, output in spec.compared():
        name = component.component_name
        if not row_independence.comparison_keeps_rows_apart(component, output):
            yield Fault(f"'{name}' takes the rows of a batch together, {_APART}", (), hint=_ALONE)


def _node_faults(spec: RunSpec) -> Iterator[Fault]:
    for built in spec.graphs:
        for each in row_independence.with_inner_nodes(built):
            if spec.fit.shards is not None and _normalizes(each.node.layer, synchronized=True):
                text = f"'{each.node.name}' is synchronized, but a shard of fit.shards is computed alone, by definition"
                yield Fault(text, each.node.path, "key", hint="remove fit.shards, or synchronized")
            elif (text := _problem(each)) is not None:
                yield Fault(text, each.node.path, "key", hint=_ALONE)


def _problem(each: InnerNode) -> str | None:
    """Return a sentence on why a node cannot be computed for each part of a batch; None if it can."""
    node, specs = each.node, each.specs
    if node.layer.keeps_states():
        return f"'{node.name}' is stateful: row i of a batch continues row i of the one before, on one process only"
    if any(name not in specs for name in node.inputs):
        return None
    if differentiated([node]):
        return f"the formula of '{node.name}' takes a gradient of a sum over the rows of a batch, {_APART}"
    if not row_independence.node_keeps_rows_apart(node, specs):
        return f"the formula of '{node.name}' takes the rows of a batch together, {_APART}"
    if row_independence.reduces_a_batch(node, specs):
        return f"'{node.name}' has one value for all rows of a batch, of which each process has a part"
    return None


def fsdp_faults(spec: RunSpec, processes: int) -> Iterator[Fault]:
    """Yield the config errors of a run whose weights FSDP divides among `processes`; none for one process."""
    if processes == 1 or not isinstance(spec.fit.distribute, FSDP):
        return
    path = ("fit", "distribute")
    if (own := torch_version()) < FIRST_TORCH:
        text = f"distribute: fsdp needs torch {'.'.join(map(str, FIRST_TORCH))} or newer, not {'.'.join(map(str, own))}"
        yield Fault(text, path, hint="pip install --upgrade torch, or use distribute: ddp")
    if spec.fit.shards is not None:
        text = "shards: with fsdp, gradients are added in no fixed order: the bits depend on the number of processes"
        yield Fault(text, ("fit", "shards"), hint=f"remove shards, or {_DDP}")
    if spec.train_step is not None:
        text = "distribute: fsdp does not divide models that several updates train (fit.train_step)"
        yield Fault(text, path, hint=_DDP)
        return
    yield from _optimizer_faults(spec)
    for number, what in _whole_model_callbacks(spec):
        yield Fault(f"{what} needs whole weights on one process, which fsdp divides", ("fit", "callbacks", number))
    yield from _weight_faults(spec)


def refused_by_fsdp(spec: RunSpec) -> list[str]:
    """Return the names of a config's settings that `distribute: ddp` supports and FSDP does not.

    The config may have any `fit.distribute`.
    """
    settings = [f"torch {'.'.join(map(str, torch_version()))}"] if torch_version() < FIRST_TORCH else []
    settings += ["fit.shards"] * (spec.fit.shards is not None) + ["fit.train_step"] * (spec.train_step is not None)
    weights = [weight for _, weight in _trainable(spec)]
    settings += [f"{kind}s" for kind in _OF_WHOLE_WEIGHTS if any(getattr(each, kind) is not None for each in weights)]
    return settings + [what for _, what in _whole_model_callbacks(spec)]


def torch_version() -> tuple[int, ...]:
    """Return the installed torch's version as (major, minor)."""
    return tuple(int(part) for part in version("torch").split("+")[0].split(".")[:2])


def _optimizer_faults(spec: RunSpec) -> Iterator[Fault]:
    if spec.compile is None:
        return
    optimizer, path = spec.compile.optimizer, ("compile", "optimizer")
    if isinstance(optimizer, LossScaleOptimizer):
        text = "dynamic loss scaling (mixed_float16) needs whole gradients, which fsdp divides"
        yield Fault(text, path, hint="use dtype policy mixed_bfloat16, which needs no loss scaling")
    if optimizer.rule.gradient_scale is not None:
        yield Fault("gradient_scale needs whole gradients, which fsdp divides", path, hint=_DDP)
    if not optimizer.rule.elementwise:
        text = f"the optimizer '{optimizer.rule.component_name}' needs whole weights, which fsdp divides"
        yield Fault(text, path, hint=f"use adam_w, or {_DDP.removeprefix('use ')}")


def _whole_model_callbacks(spec: RunSpec) -> Iterator[tuple[int, str]]:
    """Yield (number, name) of each callback that needs the whole weights of the model on one process."""
    for number, callback in enumerate(spec.fit.callbacks):
        if isinstance(callback, TensorBoard):
            names = [name for name in ("histogram_freq", "embeddings_freq") if getattr(callback, name) > 0]
            yield from ((number, name) for name in names)
        elif isinstance(callback, Sampler):
            yield number, f"the callback '{callback.component_name}'"


def _trainable(spec: RunSpec) -> Iterator[tuple[Node, WeightSpec]]:
    """Yield (node, weight) for the trainable weights of all models; those of a layer in several models only once."""
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
