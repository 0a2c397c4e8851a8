"""Lines about the memory that each process of a training needs, and a warning if the machine has less."""

import copy
import math
from dataclasses import replace

import torch
from torch import Tensor

from kerascli.config.run import RunSpec
from kerascli.data.batches.loader import Batch
from kerascli.data.batches.rows import MemorySplit
from kerascli.data.pipeline.prepare import PreparedData, no_stages
from kerascli.device import choose_device
from kerascli.disk.files import memory_limit
from kerascli.disk.storage import size_text
from kerascli.errors import Fault, KerasCliError, first_line
from kerascli.parts.distributions import FSDP
from kerascli.shapes import Shape
from kerascli.training.build import Experiment, build_experiment
from kerascli.training.checks.eval_batch_size import rows_at_once
from kerascli.training.distributed.fsdp import checkpoint_activations, group_bytes
from kerascli.training.memory_estimate import (
    Groups,
    MemoryEstimate,
    PartCounts,
    estimate,
    estimate_divided,
    evaluation_bytes,
    without_memory,
)
from kerascli.workflow.fitting.binding import optimizers_of
from kerascli.world import PROCESS_BYTES, processes_here


class NotEstimated(Exception):
    """Error with the reason why the memory of a training cannot be estimated."""


def memory_estimate(spec: RunSpec, prepared: PreparedData | None, processes: int) -> MemoryEstimate:
    """Return the memory of one of several processes that train a config; data counts if it was read.

    Raises NotEstimated.
    """
    shards = spec.fit.shards or processes
    rows = math.ceil(spec.fit.batch_size / shards)
    own = copy.deepcopy(spec)  # its modules get tensors without memory
    device = torch.device(choose_device().value)
    with without_memory():
        try:
            experiment = build_experiment(own, no_stages(), device=device, initialize=False)
            batch, distribution = _batch(spec, rows, device), spec.fit.distribute
            if processes > 1 and isinstance(distribution, FSDP):
                found = _of_fsdp(experiment, batch, processes, distribution)
            else:
                evaluated = (experiment.module, _batch(spec, _evaluated_rows(spec), device))
                found = estimate(
                    experiment.forward_passes,
                    experiment.weights,
                    optimizers_of(experiment),
                    batch,
                    PartCounts(processes, shards // processes),
                    evaluated if spec.fit.validates() else None,
                )
        except (KerasCliError, NotEstimated):
            raise
        except Exception as error:  # whatever an operation raises that needs values
            raise NotEstimated(first_line(error)) from None
    return replace(found, data=_held(prepared) if device.type == "cpu" else 0)


def _of_fsdp(experiment: Experiment, batch: Batch, processes: int, settings: FSDP) -> MemoryEstimate:
    """Return the estimate for one of the processes among which a model is divided."""
    if settings.activation_checkpointing:
        checkpoint_activations(experiment.module.graph)
    groups = Groups(group_bytes(experiment.module.graph), settings.reshard_after_forward)
    [each] = experiment.forward_passes
    return estimate_divided(each, experiment.weights, optimizers_of(experiment), batch, processes, groups)


def memory_lines(spec: RunSpec, prepared: PreparedData | None, processes: int) -> tuple[list[str], list[Fault]]:
    """Return lines about the memory of each process, and a warning if all of them need more than there is."""
    if spec.training is None:
        return [], []
    try:
        found = memory_estimate(spec, prepared, processes)
    except NotEstimated as error:
        return [f"  memory of a process: not estimated ({error})"], []
    parts = {
        "weights": found.weights, "optimizer": found.optimizer, "gradients": found.gradients,
        "forward and backward pass": found.step, "saving": found.saving, "data": found.data,
    }  # fmt: skip
    shown = ", ".join(f"{name} {size_text(size)}" for name, size in parts.items() if size)
    beside = (
        f"beside {size_text(PROCESS_BYTES)} for Python and torch" if choose_device().value == "cpu" else "on its GPU"
    )
    unread = "" if prepared is not None else "; the data was not read and is not counted"
    line = f"  memory of a process: about {size_text(found.total)} {beside} ({shown}){unread}"
    lines, warnings = [line], _shortage(found, processes)
    if processes > 1 and isinstance(spec.fit.distribute, FSDP):
        divided, whole = (size + found.data for size in _evaluation(spec, processes, spec.fit.distribute))
        text = f"about {size_text(divided)} on each of {processes} processes, {size_text(whole)} on one, {beside}"
        lines.append(f"  memory of evaluate and predict: {text}")
    return lines, warnings


def _evaluation(spec: RunSpec, processes: int, settings: FSDP) -> tuple[int, int]:
    """Return the bytes of a process that evaluates a model: one of several among which it is divided, and a single one.

    The file of weights is mapped, and its pages are not counted: the system takes them back when it needs memory.
    """
    own, device = copy.deepcopy(spec), torch.device(choose_device().value)
    with without_memory():
        experiment = build_experiment(own, no_stages(), device=device, initialize=False)
        sizes = {id(weight.tensor): weight.tensor.nbytes for weight in experiment.weights}
        work = evaluation_bytes(experiment.module, _batch(spec, _evaluated_rows(spec), device))
        groups = Groups(group_bytes(experiment.graph), settings.reshard_after_forward)
    whole, largest = sum(sizes.values()), max(sizes.values())  # a weight is made whole, and then divided
    parameters = sum(groups.sizes)
    held = whole - parameters + parameters // processes
    return held + max(work + groups.forward_peak, 2 * largest), whole + max(work, largest)


def _shortage(found: MemoryEstimate, processes: int) -> list[Fault]:
    """Return a warning if the processes of this machine need more memory than it, its container or its GPUs have."""
    here, hint = processes_here(processes), "a smaller fit.batch_size, a smaller model, or more machines"
    if choose_device().value.startswith("cuda"):
        needed, there = found.total, torch.cuda.get_device_properties(0).total_memory
        has = f"a GPU of this machine has {size_text(there)}"
    else:
        needed, there = found.total + PROCESS_BYTES, 2 * memory_limit() // here
        has = f"this machine has {size_text(there)}{f' for each of {here}' if here > 1 else ''}"
        if here == processes > 1:
            hint += f"; if not all {processes} run on one, set LOCAL_WORLD_SIZE to the number that do"
    if needed <= there:
        return []
    who = "the process needs" if processes == 1 else f"each of {processes} processes needs"
    return [Fault(f"{who} about {size_text(needed)} of memory, but {has}", level="warning", hint=hint)]


def _held(prepared: PreparedData | None) -> int:
    """Return the bytes of the rows that are in memory; files on disk are mapped or read batch by batch."""
    splits = () if prepared is None else prepared.splits.values()
    return sum(split.nbytes for split in splits if isinstance(split, MemorySplit))


def _evaluated_rows(spec: RunSpec) -> int:
    fit, pairs = spec.fit, spec.compile.pairs if spec.compile is not None else None
    return rows_at_once(
        spec.built,
        pairs,
        figures=True,
        batch_size=fit.batch_size,
        validation_batch_size=fit.validation_batch_size,
        validation_steps=fit.validation_steps,
    )


def _batch(spec: RunSpec, rows: int, device: torch.device) -> Batch:
    """Return a batch of rows as the model takes them."""

    def made(name: str, shape: Shape, dtype: str) -> Tensor:
        if None in shape or not hasattr(torch, dtype):
            raise NotEstimated(f"the shape of '{name}' is not known")
        return torch.empty((rows, *(size or 0 for size in shape)), dtype=getattr(torch, dtype), device=device)

    given = {each.name: each.spec for built in spec.graphs for each in built.model.inputs}
    inputs = {name: made(name, each.shape, each.dtype) for name, each in given.items()}
    fields = spec.targets or {}
    return Batch(inputs, {name: made(name, field.shape, field.dtype) for name, field in fields.items()}, {}, rows)
