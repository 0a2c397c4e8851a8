"""Facts that must be equal on all processes of a run: versions, config, data, weights, kind of device."""

import json
import platform
import socket
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from kerascli import __version__
from kerascli.foundation.device import Choice, of_process
from kerascli.foundation.errors import ConfigError, Fault, TrainingStopped
from kerascli.model.runtime.weights import Weight
from kerascli.training.strategies.group import Group

_KINDS = {
    "kerascli": "version of kerascli", "torch": "version of torch", "config": "config", "weights": "set of weights",
    "data": "data", "threads": "number of threads",
}  # fmt: skip
_SUMMED_BYTES = 2**20
"""Number of bytes that are added at once: torch converts each to int64."""


def own_device(choice: Choice, group: Group) -> Choice:
    """Return the device that this process of a group uses, with the reason for it. Raises ConfigError.

    `choice` is the device that `--device` names or that was chosen automatically. Every process must call the function.
    Each needs a GPU of its own, or none has one: NCCL would raise an error or wait forever.
    """
    world = group.world
    if world.size == 1:
        return choice
    own, gpu = of_process(choice, world.local_rank, world.local_size), ""
    if own.value.startswith("cuda"):
        properties = torch.cuda.get_device_properties(own.value)
        group.device, gpu = f"{own.value} ({properties.name})", str(properties.uuid)
    gpus = {each for each in group.agree(gpu) if each}
    if 0 < len(gpus) < world.size:
        text = f"{world.size} processes have {len(gpus)} GPU{'s' * (len(gpus) > 1)}: each needs one of its own"
        raise ConfigError(text, hint="start one process for each GPU, or choose --device cpu")
    return own


def checked_members(group: Group, config: str, data: Mapping[str, str], *, weights: str = "") -> list[dict[str, Any]]:
    """Return facts (host, device, versions ...) about each process, by rank, if all work on the same run.

    `config` is the text of this process's resolved config, `data` maps its data files to digests, `weights` is the
    digest of a trained run's weights. Raises ConfigError if versions, configs, weights or data differ between
    processes.
    """
    own = {
        "host": socket.gethostname(), "device": group.device,
        "threads": torch.get_num_threads(), "python": platform.python_version(),
        "torch": torch.__version__, "kerascli": __version__,
        "config": sha256(config.encode()).hexdigest(), "data": sha256(json.dumps(data).encode()).hexdigest(),
        "weights": weights,
    }  # fmt: skip
    members = group.agree(own)
    for name, kind in _KINDS.items():
        for rank, member in enumerate(members):
            if member[name] != members[0][name]:
                is_digest = name in ("config", "weights", "data")
                difference = "" if is_digest else f": {member[name]}, not {members[0][name]}"
                text = f"process {rank} on {member['host']} has another {kind} than process 0 on {members[0]['host']}"
                hint = "all processes must have the same versions, config and data"
                raise ConfigError(text + difference, hint=hint)
    return [{name: member[name] for name in ("host", "device", "threads", "python", "torch")} for member in members]


def compare_epoch(group: Group, weights: Sequence[Weight], decisions: Sequence[Any], epoch: int) -> None:
    """Compare weights and decisions of callbacks between all processes after an epoch; each process also learns which
    signals of the system (such as SIGTERM) the others have received, so that all stop after the same step.

    Raises TrainingStopped if weights or decisions differ, for example because a custom callback decides by the time of
    day.
    """
    if group.world.size == 1:
        return
    values = group.agree([group.notices.own, _sum_of_bits(weights), list(decisions)])
    group.notices.take(number for number, *_ in values)
    for rank, (_, bits, decided) in enumerate(values):
        if [bits, decided] != values[0][1:]:
            what = "has other weights than" if bits != values[0][1] else "has decided otherwise than"
            hint = "a callback or layer of your own must compute the same on all processes"
            raise TrainingStopped(Fault(f"process {rank} {what} process 0 after epoch {epoch}", hint=hint))


def _sum_of_bits(weights: Sequence[Weight]) -> int:
    """Return the sum of the bytes, read as integers, of all weights that every process has. Waits for the device."""

    def total(tensor: Tensor) -> int:
        parts = tensor.detach().reshape(-1).view(torch.uint8).split(_SUMMED_BYTES)
        return int(torch.stack([part.sum(dtype=torch.int64) for part in parts]).sum())

    return sum(total(weight.tensor) for weight in weights if weight.part is None)
