"""Train beside the process that records: a process of rank 1 or more takes the same steps, and writes no files."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kerascli.foundation.errors import Interrupted, ProcessLost, counted
from kerascli.foundation.events import EpochEnd, Event, Note, Stopped
from kerascli.runs.checkpoints import Checkpoints
from kerascli.runs.history_writer import Prefix
from kerascli.runs.record import RunRecord
from kerascli.training.evaluate import evaluate
from kerascli.training.finite import refuse_bad_weights
from kerascli.training.loop import train
from kerascli.training.strategies.notices import Notices
from kerascli.workflow.fitting.phases import PhaseRunner
from kerascli.workflow.fitting.plan import rows_in_order
from kerascli.workflow.fitting.saver import Saver


def follow(runner: PhaseRunner) -> None:
    """Take part in the training and in the evaluation of the test split, as `run_loop.run` does on rank 0.

    If rank 0 is gone, record in its place how the run ended.
    """
    record = RunRecord(Path(runner.group.agree(None)[0]))
    try:
        with runner.group.guarded():
            _take_part(runner, record.checkpoints)
    except ProcessLost as error:
        record.finish_for_another(str(error))
        raise


def _take_part(runner: PhaseRunner, checkpoints: Checkpoints) -> None:
    while True:
        state, saver = runner.state, None
        if state.trainer.ranges():  # of which each process writes its own
            saver = Saver(checkpoints, state.trainer, runner.reached, state.plan, state.strategy)
        for event in compared(train(state.trainer, state.plan, runner.reached, looks=False), runner):
            if saver is not None:
                saver.record(event, Prefix)
            _leave_on_signal(runner.group.notices, event, saver)
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
        batches = runner.state.strategy.evaluated(source, runner.options.limits.get("validation_steps"))
        for event in evaluate(experiment.module, batches, seed=experiment.spec.seed):
            _leave_on_signal(runner.group.notices, event, None)


def compared(events: Iterator[Event], runner: PhaseRunner) -> Iterator[Event]:
    """Yield the events of a training; at the end of each epoch, compare all processes' weights and what callbacks
    decided, and hear of signals.

    Raises TrainingStopped if they differ, for example by a callback of the user's own that decides by the time.
    """
    for event in events:
        if isinstance(event, EpochEnd):
            trainer, reached = runner.state.trainer, runner.reached
            decisions = [
                reached.stopped is not None,
                list(event.slots),
                list(trainer.optimizers.learning_rates.values()),
            ]
            runner.state.strategy.compare_epoch(trainer.weights, decisions, event.epoch)
        yield event


def _leave_on_signal(notices: Notices, event: Event, saver: Saver | None) -> None:
    number = notices.common_signal
    if number is not None and not isinstance(event, Stopped):
        if saver is not None:
            saver.save("a signal", history=Prefix, wait=True)
        raise Interrupted("interrupted", signal_number=number)


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
