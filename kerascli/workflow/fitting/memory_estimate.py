"""Estimated memory of each process of a training run, with a warning if it is too much, and measured peak memory."""

import copy
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, UntypedStorage

from kerascli.config.run import RunSpec
from kerascli.data.batches.loader import Batch
from kerascli.data.batches.rows import MemorySplit
from kerascli.data.pipeline.prepare import PreparedData, no_stages
from kerascli.foundation import draws
from kerascli.foundation.device import choose_device
from kerascli.foundation.disk.files import memory_limit
from kerascli.foundation.disk.storage import size_text
from kerascli.foundation.errors import Fault, KerasCliError, first_line
from kerascli.foundation.light_torch import without_compiler
from kerascli.foundation.shapes import Shape
from kerascli.foundation.world import PROCESS_BYTES, processes_here
from kerascli.model.runtime.weights import Weight
from kerascli.parts.distributions import FSDP
from kerascli.training.build import build_experiment
from kerascli.training.objectives.train_step import TrainStepModule
from kerascli.training.strategies.fsdp import checkpoint_activations, group_bytes
from kerascli.workflow.fitting.make_trainer import optimizers_of

_META = torch.device("meta")
"""Device of tensors that have shapes and dtypes, but no memory and no values."""


class NotEstimated(Exception):
    """Error with the reason why the memory of a training run cannot be estimated."""


class MemoryEstimate(NamedTuple):
    """Memory in bytes of one process of a training run, without that of Python and torch themselves."""

    weights: int
    """Weights; with FSDP this process's part of them, and those that are gathered at the same time, with gradients."""
    gradients: int
    """Gradients of the trainable weights; with FSDP those of this process's part."""
    optimizer: int
    """Optimizer states."""
    activations: int
    """Tensors that the forward pass of a step saves for its backward pass."""
    data: int
    """Rows of the data that are held in memory."""

    @property
    def total(self) -> int:
        return sum(self)


def memory_estimate(spec: RunSpec, prepared: PreparedData | None, processes: int) -> MemoryEstimate:
    """Return the estimated memory of each of `processes` processes that train a model.

    `spec` is the parsed config. The rows of `prepared`, the preprocessed data, are included; None: data is not counted.
    Raises NotEstimated.
    """
    try:
        with without_compiler():
            return _estimate(spec, prepared, processes)
    except KerasCliError:
        raise
    except Exception as error:  # whatever an operation raises that needs values
        raise error if isinstance(error, NotEstimated) else NotEstimated(first_line(error)) from None


def _estimate(spec: RunSpec, prepared: PreparedData | None, processes: int) -> MemoryEstimate:
    """Build the model without memory, add the sizes of its tensors, and run the forward passes of a step."""
    fit, own = spec.fit, copy.deepcopy(spec)  # its modules get tensors without memory
    own = replace(own, fit=fit.model_copy(update={"class_weight": None}))
    experiment = build_experiment(own, no_stages(), device=_META, initialize=False)
    states = sum(each.state_bytes for each in optimizers_of(experiment).by_name.values())
    weights, gradients = _nbytes(experiment.weights), _nbytes(w for w in experiment.weights if w.trainable)
    if processes > 1 and isinstance(fit.distribute, FSDP):
        groups = group_bytes(experiment.graph)
        gathered = max(groups) + (max(groups) if fit.distribute.reshard_after_forward else sum(groups))
        weights += gathered + sum(groups) // processes - sum(groups)
        gradients, states = gradients // processes, states // processes
        if fit.distribute.activation_checkpointing:
            checkpoint_activations(experiment.graph)
    batch = example_batch(spec, math.ceil(fit.batch_size / (fit.shards or processes)), _META)
    saved = [_saved_bytes(each.module, batch, experiment.weights) for each in experiment.forward_passes]
    halves = 2 if experiment.module.precision.startswith("mixed") else 1
    return MemoryEstimate(weights, gradients, states, max(saved) // halves, _held(prepared))


def _nbytes(weights: Iterable[Weight]) -> int:
    return sum({id(weight.tensor): weight.tensor.nbytes for weight in weights}.values())


def _saved_bytes(module: TrainStepModule, batch: Batch, weights: Sequence[Weight]) -> int:
    """Return the bytes of the tensors, other than weights, that a forward pass saves for its backward pass."""
    saved: dict[int, UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[id(storage)] = storage
        return tensor

    module.train()
    with draws.using(draws.Tape()), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        module(batch)
    own_storages = {id(weight.tensor.untyped_storage()) for weight in weights}
    return sum(storage.nbytes() for key, storage in saved.items() if key not in own_storages)


def estimated_bytes(spec: RunSpec, prepared: PreparedData, processes: int, device: torch.device) -> int | None:
    """Return the estimated memory in bytes of one of `processes` training processes; None if it cannot be estimated.

    The estimate is comparable with `peak_bytes`: on a CPU it includes Python, torch and the data in memory.
    """
    on_cpu = device.type == "cpu"
    try:
        estimate = memory_estimate(spec, prepared if on_cpu else None, processes)
    except (KerasCliError, NotEstimated):  # what is wrong with a config is found when the model is built
        return None
    return estimate.total + PROCESS_BYTES * on_cpu


def peak_bytes(device: torch.device) -> int | None:
    """Return the peak memory of this process on a device so far, in bytes; None if the system does not report it."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss if device.type == "cpu" else None
    return peak if peak is None or sys.platform == "darwin" else 1024 * peak


def memory_lines(spec: RunSpec, prepared: PreparedData | None, processes: int) -> tuple[list[str], list[Fault]]:
    """Return (lines to print on the memory of each of `processes` processes, warnings if the machine has less)."""
    if spec.training is None:
        return [], []
    on_cpu = choose_device().value == "cpu"
    try:
        estimate = memory_estimate(spec, prepared if on_cpu else None, processes)
    except NotEstimated as error:
        return [f"  memory: not estimated ({error})"], []
    shown = ", ".join(f"{name} {size_text(size)}" for name, size in estimate._asdict().items() if size)
    extra = f"beside {size_text(PROCESS_BYTES)} for Python and torch" if on_cpu else "on its GPU"
    unread = "" if prepared is not None else "; the data was not read and is not counted"
    line = f"  memory: about {size_text(estimate.total)} per process {extra} ({shown}){unread}"
    return [line], _shortage(estimate, processes)


def _shortage(estimate: MemoryEstimate, processes: int) -> list[Fault]:
    """Return a warning if the processes of this machine need more memory than it, its container or its GPUs have."""
    here, hint = processes_here(processes), "a smaller fit.batch_size, a smaller model, or more machines"
    if choose_device().value.startswith("cuda"):
        needed, there = estimate.total, torch.cuda.get_device_properties(0).total_memory
        has = f"a GPU of this machine has {size_text(there)}"
    else:
        needed, there = estimate.total + PROCESS_BYTES, 2 * memory_limit() // here
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


def example_batch(spec: RunSpec, rows: int, device: torch.device) -> Batch:
    """Return a batch of `rows` rows in the shapes and dtypes of the model's inputs and targets, without values.

    Raises NotEstimated if a shape is unknown.
    """

    def made(name: str, shape: Shape, dtype: str) -> Tensor:
        if None in shape or not hasattr(torch, dtype):
            raise NotEstimated(f"the shape of '{name}' is not known")
        return torch.empty((rows, *(size or 0 for size in shape)), dtype=getattr(torch, dtype), device=device)

    specs = {each.name: each.spec for built in spec.graphs for each in built.model.inputs}
    inputs = {name: made(name, each.shape, each.dtype) for name, each in specs.items()}
    fields = spec.targets or {}
    return Batch(inputs, {name: made(name, field.shape, field.dtype) for name, field in fields.items()}, {}, rows)
