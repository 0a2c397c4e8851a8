"""Run the frozen part of a model once: keep its outputs for all rows, and train the rest of the model on them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from kerascli.data.batches.loader import Batch, BatchSource
from kerascli.data.batches.rows import DiskSplit, MemorySplit, Split
from kerascli.data.pipeline.prepare import PreparedData
from kerascli.data.pipeline.preparer import read_records, split_of
from kerascli.data.storage.convert import as_records
from kerascli.data.storage.mapped import Mapped, spill
from kerascli.data.storage.on_disk import is_large
from kerascli.foundation import draws
from kerascli.foundation.disk.storage import size_text
from kerascli.foundation.errors import counted
from kerascli.foundation.events import Note
from kerascli.foundation.shapes import TensorSpec
from kerascli.model.ir.nodes import Input, Model, Node, flat, names_used_by
from kerascli.model.runtime.built import Built
from kerascli.model.runtime.executor import GraphOutcome
from kerascli.model.runtime.graph import Graph
from kerascli.model.syntax.views import leading_to
from kerascli.training.build import Experiment
from kerascli.training.checks.row_independence import node_keeps_rows_apart, reduces_a_batch
from kerascli.training.objectives.objective import full_precision
from kerascli.training.objectives.train_step import GraphStep, autocast
from kerascli.training.strategies.base import Strategy
from kerascli.training.strategies.shared_file import file_of_machine
from kerascli.workflow.fitting.plan import rows_in_order
from kerascli.workflow.memory import memory_for_model


@memory_for_model()
def without_frozen(
    experiment: Experiment, prepared: PreparedData, strategy: Strategy
) -> tuple[Experiment, PreparedData, Note] | None:
    """Run the frozen part of a model once over the rows of training and validation, so that epochs run only the rest.

    Returns (experiment of the rest of the model, its data: the outputs of the frozen part, note to print); None if no
    part with weights is frozen, or if its outputs cannot be kept. The frozen part ends before the first node that is
    trained, draws random numbers, changes weights or adds a loss. Of several processes each computes the outputs of
    some rows, and all on one machine read them from one file.
    """
    fit, whole = experiment.spec.fit, experiment.spec.model
    is_useful = not strategy.is_divided and _reuses_rows(experiment, prepared)
    if not is_useful or not _has_frozen_weights(experiment, whole.nodes):
        return None
    first, rest, kept = _divided(experiment, prepared.splits["train"])
    if not _has_frozen_weights(experiment, first):
        return None
    built = _part(experiment, rest, kept, whole.outputs)
    inputs = [each.name for each in built.model.inputs]
    step = _Frozen(experiment, Graph(_part(experiment, first, (), kept)).eval(), inputs, strategy)
    names = {"train", fit.validation_data or "validation"} if fit.validates() else {"train"}
    if any(step.run(next(rows_in_order(experiment, prepared.splits[name]).epoch(0))).masks for name in names):
        return None  # masks cannot be kept
    splits = {name: step.split(prepared.splits[name]) for name in sorted(names)}
    size, rows = sum(each.nbytes for each in splits.values()), sum(each.rows for each in splits.values())
    where = "on disk" if any(isinstance(each, DiskSplit) for each in splits.values()) else "in memory"
    text = f"frozen: the outputs of {counted(len(first), 'layer')} are kept {where} for {counted(rows, 'row')}"
    short = replace(prepared, splits={**prepared.splits, **splits})
    return _with_model(experiment, built), short, Note(f"{text}, {size_text(size)}")


def _reuses_rows(experiment: Experiment, prepared: PreparedData) -> bool:
    """Return True if a training takes the same rows in each of several epochs, in one forward pass a step."""
    fit = experiment.spec.fit
    augmented = prepared.mixing is not None and len(prepared.mixing.steps) > 0
    return experiment.spec.train_step is None and not augmented and fit.epochs > 1 and not fit.steps_per_epoch


def _has_frozen_weights(experiment: Experiment, nodes: Iterable[Node]) -> bool:
    weights = experiment.graph.weights_by_node()
    return any(own and not any(each.trainable for each in own) for own in (weights[node.name] for node in nodes))


def _divided(experiment: Experiment, rows: Split) -> tuple[tuple[Node, ...], tuple[Node, ...], tuple[str, ...]]:
    """Return (nodes of a model's frozen part that are needed, the other nodes, names of the tensors between them)."""
    model, frozen = experiment.spec.model, _frozen_nodes(experiment, rows)
    rest = tuple(node for node in model.nodes if node.name not in frozen)
    made = {output for node in model.nodes if node.name in frozen for output in node.outputs}
    used = [*(name for node in rest for name in node.used_names()), *model.outputs]
    kept = tuple(name for name in dict.fromkeys(used) if name in made)
    return flat(leading_to([node for node in model.nodes if node.name in frozen], kept)), rest, kept


def _with_model(experiment: Experiment, built: Built) -> Experiment:
    """Return an experiment whose forward passes run another built model."""
    head, whole = Graph(built), experiment.module
    module = GraphStep(head, whole.objective, (whole.input_stage, whole.target_stage), whole.precision)
    passes = tuple(replace(each, module=module) for each in experiment.forward_passes)
    spec = replace(experiment.spec, model=built.model, built=built)
    return replace(experiment, spec=spec, graph=head, module=module, forward_passes=passes)


def _part(experiment: Experiment, nodes: tuple[Node, ...], extra: tuple[str, ...], outputs: tuple[str, ...]) -> Built:
    """Return some nodes of a model as a built model with the same modules; `extra` are tensors that become inputs."""
    built, model = experiment.spec.built, experiment.spec.model
    used = names_used_by(nodes) | {*outputs}
    inputs = [each for each in model.inputs if each.name in used]
    inputs += [Input(name, built.specs[name]) for name in extra]
    part = Model(tuple(inputs), nodes, outputs, targets=model.targets if extra else ())
    return Built(part, built.modules, built.specs, built.owners)


def _frozen_nodes(experiment: Experiment, rows: Split) -> set[str]:
    """Return the names of the nodes whose outputs are the same in every epoch, found by a run of the training step."""
    module, model, specs = experiment.module, experiment.spec.model, experiment.spec.built.specs
    tape = draws.Tape()
    module.train()
    with torch.no_grad(), draws.using(tape):
        size = experiment.spec.fit.batch_size if any(node.layer.keeps_states() for node in model.nodes) else 2
        batch = next(BatchSource(rows, min(size, rows.rows), experiment.device).epoch(0))
        outcome, _ = module.compare(batch)
    random = {place.split("/")[0] for place, _ in tape.draws}
    changing = {name.split("/")[0] for name in (*outcome.losses, *outcome.metrics)}
    changing |= random
    changing |= {name for name, own in experiment.graph.weights_by_node().items()
                 if any(each.trainable or each.name in outcome.updates for each in own)}  # fmt: skip
    same = {each.name for each in model.inputs if f"data.{each.name}" not in random}
    frozen: set[str] = set()
    for node in model.nodes:
        if node.name not in changing and same.issuperset(node.used_names()) and _keeps_rows(node, specs):
            frozen.add(node.name)
            same.update(node.outputs)
    return frozen


def _keeps_rows(node: Node, specs: Mapping[str, TensorSpec]) -> bool:
    """Return True if a node has an output, each row of which depends on the same row of its inputs alone."""
    is_plain = not node.layer.mixes_samples or node.layer.component_name in {"batch_normalization", "expr"}
    return bool(node.outputs) and is_plain and node_keeps_rows_apart(node, specs) and not reduces_a_batch(node, specs)


@dataclass(frozen=True, slots=True)
class _Frozen:
    """Frozen part of a model, with the inputs and tensors that the rest of the model takes."""

    experiment: Experiment
    graph: Graph
    taken: list[str]
    strategy: Strategy

    def run(self, batch: Batch) -> GraphOutcome:
        module = self.experiment.module
        with torch.inference_mode(), autocast(module.precision, self.experiment.device):
            return self.graph(module.input_stage.eval()(batch.inputs))

    def split(self, rows: Split) -> Split:
        """Return the rows of a split with the part's outputs as inputs: in memory, or on disk if they are large, or if
        several processes read them."""
        blocks, origin = self._blocks(rows), rows.origin
        first = next(blocks)
        count = len(next(iter(first.values())))
        nbytes = sum(values.nbytes for values in first.values()) // count * rows.rows
        if self.strategy.is_alone and not is_large(nbytes):
            parts = [first, *blocks]
            return split_of({key: np.concatenate([part[key] for part in parts]) for key in first}, rows.rows, origin)
        temporary = partial(file_of_machine, self.strategy.group)
        records = Mapped(spill(map(as_records, chain([first], blocks)), rows.rows, temporary), "the temporary file")
        return DiskSplit(MemorySplit({}, {}, {}, rows.rows), [partial(read_records, records)], origin)

    def _blocks(self, rows: Split) -> Iterator[dict[str, np.ndarray]]:
        """Yield the rows of a split in order, a batch at a time; each of several processes runs its share of batches.

        The names of the arrays begin with their section, as `inputs/x`.
        """
        source = rows_in_order(self.experiment, rows, metrics=False)
        batches, size, left = self.strategy.evaluated(source), min(source.batch_size, rows.rows), rows.rows
        values: dict[str, Tensor] = {}
        for number, batch in batches:
            if batch is not None:
                outputs = self.run(batch).outputs
                inputs = {name: batch.inputs[name] for name in self.taken if name in batch.inputs}
                inputs |= {name: full_precision(each) for name, each in outputs.items()}
                sections = {"inputs": inputs, "targets": batch.targets, "sample_weight": batch.sample_weight}
                named = {f"{key}/{name}": each for key, own in sections.items() for name, each in own.items()}
                missing = size - batch.rows
                values = named  # whole batches stay views of rows in memory: F.pad copies, even if nothing is missing
                if missing:
                    values = {key: F.pad(each, (*[0, 0] * (each.dim() - 1), 0, missing)) for key, each in named.items()}
            for made in batches.states(number, list(values.values())):
                count = min(size, left)
                left -= count
                yield {name: each[:count].cpu().numpy() for name, each in zip(values, made, strict=True)}
        self.strategy.group.agree(None)  # all blocks are written, where they are
