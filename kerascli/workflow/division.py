"""Check that training can be divided among processes: losses are means over rows, and no row depends on another."""

from collections.abc import Iterator

from kerascli.config.load import Config
from kerascli.config.run import RunSpec
from kerascli.foundation.errors import Fault, counted
from kerascli.language.component import Component
from kerascli.layers.normalization.batch_normalization import BatchNormalization
from kerascli.model.runtime.built import Built, InnerNode, inner_nodes
from kerascli.parts.distributions import DDP, FSDP, REMOVED
from kerascli.training.checks.row_independence import (
    comparison_keeps_rows_apart,
    is_mean_of_parts,
    node_keeps_rows_apart,
)
from kerascli.workflow.fsdp_checks import fsdp_faults, refused_by_fsdp


def division_faults(spec: RunSpec, processes: int) -> list[Fault]:
    """Return the faults of a run on several processes or in several shards: what they would change beyond rounding."""
    if isinstance(spec.fit.distribute, DDP) and spec.fit.distribute.shards_optimizer_state:
        return [_removed(spec)]
    if processes == 1 and spec.fit.shards in (None, 1):
        return []
    return [
        *_number_faults(spec, processes),
        *fsdp_faults(spec, processes),
        *_loss_faults(spec),
        *_node_faults(spec),
    ]


def _removed(spec: RunSpec) -> Fault:
    fsdp = "distribute: {fsdp: {reshard_after_forward: false}}"
    if against := refused_by_fsdp(spec):
        hint = f"{fsdp} divides it, but not with {', '.join(against)}, as here; distribute: ddp divides none"
    else:
        hint = f"use {fsdp}, which divides it"
    text = f"{REMOVED}: ddp no longer divides the optimizer's state (ZeRO-1)"
    return Fault(text, ("fit", "distribute", "ddp", REMOVED), "key", hint=hint)


def divided(config: Config, spec: RunSpec, processes: int) -> RunSpec:
    """Return a config's spec if it can be trained in its shards on `processes` processes. Raises ConfigError."""
    if faults := division_faults(spec, processes):
        raise config.error(faults)
    return spec


def division_lines(spec: RunSpec, processes: int) -> list[str]:
    """Return lines about how a run's batches are divided, and what is then computed over a part of a batch alone."""
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
        for each in _all_nodes(built):
            if any(not layer.synchronized for layer in _batch_normalizations(each.node.layer)):
                lines.append(f"  '{each.node.name}' normalizes over the rows of a part, not of the whole batch")
    return list(dict.fromkeys(lines))


def _batch_normalizations(layer: Component) -> Iterator[BatchNormalization]:
    """Yield the batch normalization that a layer is, or applies to each step as `time_distributed` does."""
    if isinstance(layer, BatchNormalization):
        yield layer
    for inner in (getattr(layer, name) for name in type(layer).model_fields):
        if isinstance(inner, Component):
            yield from _batch_normalizations(inner)


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
        if not comparison_keeps_rows_apart(component, output):
            yield Fault(
                f"'{name}' compares rows of a batch with each other, which are in different parts", (), hint=_ALONE
            )


_ALONE = "train on one process, without fit.shards and fit.distribute"


def _node_faults(spec: RunSpec) -> Iterator[Fault]:
    for built in spec.graphs:
        for each in _all_nodes(built):
            layers = _batch_normalizations(each.node.layer)
            if spec.fit.shards is not None and any(layer.synchronized for layer in layers):
                text = f"'{each.node.name}' is synchronized, but a shard of fit.shards is computed alone, by definition"
                yield Fault(text, each.node.path, "key", hint="remove fit.shards, or synchronized")
            elif (text := _problem(each)) is not None:
                yield Fault(text, each.node.path, "key", hint=_ALONE)


def _all_nodes(built: Built) -> Iterator[InnerNode]:
    nodes = built.model.nodes
    yield from (InnerNode(node, built.specs) for node in nodes)
    yield from inner_nodes(built.modules[node.name] for node in nodes)


def _problem(each: InnerNode) -> str | None:
    """Return a sentence on why a node cannot be computed for each part of a batch; None if it can."""
    node, specs = each.node, each.specs
    if node.layer.keeps_states():
        return f"'{node.name}' is stateful: row i of a batch continues row i of the one before, on one process only"
    if any(name not in specs for name in node.inputs):
        return None
    if not node_keeps_rows_apart(node, specs):
        return f"the formula of '{node.name}' compares rows of a batch with each other, which are in different parts"
    sees = any(specs[name].batched for name in node.inputs)
    reduces = any(name in specs and not specs[name].batched for name in node.outputs)
    if sees and reduces and not is_mean_of_parts(node, specs):
        return f"'{node.name}' reduces a batch to one value, which is not the mean of its parts' values"
    return None
