"""Train beside the process that records: a process of rank 1 or more takes the same steps, and writes no files."""

import json
import platform
import socket
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from kerascli import __version__
from kerascli.foundation.errors import ConfigError, Fault, Interrupted, ProcessLost, TrainingStopped, counted
from kerascli.foundation.events import EpochEnd, Event, Note, Stopped
from kerascli.runs.checkpoints import Checkpoints
from kerascli.runs.history import Prefix
from kerascli.runs.record import RunRecord
from kerascli.training.distributed.processes import Processes
from kerascli.training.evaluate import evaluate
from kerascli.training.finite import refuse_bad_weights
from kerascli.training.loop import train
from kerascli.workflow.fitting.phases import PhaseRunner
from kerascli.workflow.fitting.plan import evaluated_batches, rows_in_order
from kerascli.workflow.fitting.saver import Saver


def follow(runner: PhaseRunner) -> None:
    """Take part in the training and in the evaluation of the test split, as `run_loop.run` does on rank 0.

    If rank 0 is gone, record in its place how the run ended.
    """
    record = RunRecord(Path(runner.processes.exchange(None)[0]))
    runner.processes.record_loss = record.finish_for_another
    try:
        with runner.processes.heard():
            _take_part(runner, record.checkpoints)
    except ProcessLost as error:
        record.finish_for_another(str(error))
        raise


def _take_part(runner: PhaseRunner, checkpoints: Checkpoints) -> None:
    while True:
        state, saver = runner.state, None
        if state.trainer.ranges():  # of which each process writes its own
            saver = Saver(checkpoints, state.trainer, runner.reached, state.plan, runner.processes)
        for event in compared(train(state.trainer, state.plan, runner.reached, looks=False), runner):
            if saver is not None:
                saver.record(event, Prefix)
            _leave_on_signal(runner.processes, event, saver)
        if runner.is_last:
            break
        del state, saver  # two models must not be in memory at once
        runner.start_next_phase()
    refuse_bad_weights(runner.state.trainer, runner.reached)
    if runner.state.experiment.is_divided:
        for _ in runner.state.trainer.weights_file():  # process 0 writes it, and gathers each weight
            pass
    test = runner.phase.prepared.splits.get("test")
    if test is not None:
        experiment = runner.state.experiment
        source = rows_in_order(experiment, test)
        batches = evaluated_batches(
            source, runner.options.limits.get("validation_steps"), runner.processes, divided=experiment.is_divided
        )
        for event in evaluate(experiment.module, batches, seed=experiment.spec.seed):
            _leave_on_signal(runner.processes, event, None)


def compared(events: Iterator[Event], runner: PhaseRunner) -> Iterator[Event]:
    """Yield the events of a training; at the end of each epoch, compare all processes' weights and what callbacks
    decided, and hear of signals.

    Raises TrainingStopped if they differ, for example by a callback of the user's own that decides by the time.
    """
    for event in events:
        if isinstance(event, EpochEnd) and runner.processes.world.size > 1:
            rates = runner.state.trainer.optimizers.learning_rates
            decided = [runner.reached.stopped is not None, list(event.slots), list(rates.values())]
            own = [runner.processes.own_number(), _sum_of_bits(runner), *decided]
            found = runner.processes.exchange(own)
            runner.processes.hear(number for number, *_ in found)
            for rank, (_, *each) in enumerate(found):
                if each != found[0][1:]:
                    what = "has other weights than" if each[0] != found[0][1] else "has decided otherwise than"
                    hint = "a callback or layer of your own must compute the same on all processes"
                    raise TrainingStopped(
                        Fault(f"process {rank} {what} process 0 after epoch {event.epoch}", hint=hint)
                    )
        yield event


def _sum_of_bits(runner: PhaseRunner) -> int:
    """Return the sum of the bytes, read as integers, of all weights that every process has. Waits for the device."""
    common = (weight for weight in runner.state.trainer.weights if weight.part is None)
    weights = [weight.tensor.detach().reshape(-1).view(torch.uint8) for weight in common]
    return sum(int(torch.stack([part.sum(dtype=torch.int64) for part in each.split(_PART)]).sum()) for each in weights)


_PART = 2**20
"""Number of bytes that are added at once: torch makes an int64 of each."""


def _leave_on_signal(processes: Processes, event: Event, saver: Saver | None) -> None:
    number = processes.common_signal()
    if number is not None and not isinstance(event, Stopped):
        if saver is not None:
            saver.save("a signal", history=Prefix, wait=True)
        raise Interrupted("interrupted", signal_number=number)


def checked_members(
    processes: Processes, config: str, data: dict[str, str], *, weights: str = ""
) -> list[dict[str, Any]]:
    """Return facts about each process, by rank; `config` and `data` are its resolved config and its data's digests.

    `weights` is the digest of a trained run's weights. Raises ConfigError if processes have other versions, configs,
    weights or data, since their work would not be parts of one.
    """
    own = {
        "host": socket.gethostname(), "device": processes.device,
        "threads": torch.get_num_threads(), "python": platform.python_version(),
        "torch": torch.__version__, "kerascli": __version__,
        "config": sha256(config.encode()).hexdigest(), "data": sha256(json.dumps(data).encode()).hexdigest(),
        "weights": weights,
    }  # fmt: skip
    members = processes.exchange(own)
    for name in _KINDS:
        for rank, member in enumerate(members):
            if member[name] != members[0][name]:
                raise ConfigError(
                    f"process {rank} on {member['host']} has another {_KINDS[name]} than process 0 on "
                    f"{members[0]['host']}{_difference(name, member, members[0])}",
                    hint="all processes must have the same versions, config and data",
                )
    return [{name: member[name] for name in ("host", "device", "threads", "python", "torch")} for member in members]


_KINDS = {
    "kerascli": "version of kerascli", "torch": "version of torch", "config": "config", "weights": "set of weights",
    "data": "data", "threads": "number of threads",
}  # fmt: skip


def _difference(name: str, member: dict[str, Any], first: dict[str, Any]) -> str:
    return "" if name in ("config", "weights", "data") else f": {member[name]}, not {first[name]}"


def process_notes(runner: PhaseRunner, members: Mapping[str, Any]) -> Iterator[Note]:
    """Yield notes on the processes and shards of a training; and on `distribute`, if there is one process."""
    fit, found = runner.phase.spec.fit, members.get("processes", [])
    shards = f", {fit.shards} shards a batch" if fit.shards is not None else ""
    if found:
        hosts = len({member["host"] for member in found})
        where = "this machine" if hosts == 1 else f"{hosts} machines"
        yield Note(f"processes: {len(found)} on {where}, {counted(found[0]['threads'], 'thread')} each{shards}")
    elif fit.distribute is not None:
        yield Note("distribute: not used, there is one process; --processes N or torchrun starts several")
    if not found and shards:
        yield Note(f"processes: 1{shards}")
