"""Device of each of several processes: on GPUs, one that no other process has."""

import os
import socket

import torch

from kerascli.foundation.device import Choice, of_process
from kerascli.foundation.errors import ConfigError
from kerascli.training.distributed.gpu_watch import Member
from kerascli.training.distributed.processes import Processes

_HINT = "start one process for each GPU, or choose --device cpu"


def own_device(choice: Choice, processes: Processes) -> Choice:
    """Return the device of this process, which all processes call with their choice. Raises ConfigError.

    Several on a machine have GPUs of their own: NCCL refuses, or waits for ever, where two have one.
    """
    world = processes.world
    if world.size == 1:
        return choice
    own, gpu = of_process(choice, world.local_rank, world.local_size), ""
    if own.value.startswith("cuda"):
        found = torch.cuda.get_device_properties(own.value)
        processes.device, gpu = f"{own.value} ({found.name})", str(found.uuid)
    members = [Member(*each) for each in processes.exchange(Member(socket.gethostname(), os.getpid(), gpu))]
    for rank, member in enumerate(members):
        if bool(member.gpu) != bool(gpu):
            with_gpu, without = (rank, world.rank) if member.gpu else (world.rank, rank)
            text = f"process {with_gpu} has a GPU, process {without} on {members[without].host} has none"
            raise ConfigError(text, hint="--device cpu: all processes need devices of one kind")
        first = members.index(next(each for each in members if (each.host, each.gpu) == (member.host, member.gpu)))
        if member.gpu and first != rank:
            raise ConfigError(f"processes {first} and {rank} on {member.host} have the same GPU", hint=_HINT)
    if gpu:
        processes.watch_gpu(members, own.value)
    return own
