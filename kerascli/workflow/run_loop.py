"""Run a training from start to end: train and record its phases, save weights, and evaluate on the test split."""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from kerascli.data.batches.rows import Split
from kerascli.foundation.errors import Interrupted, KerasCliError, Paused, ProcessLost, StorageError, TrainingStopped
from kerascli.foundation.events import EpochEnd, Evaluated, Event, Note, Stopped
from kerascli.foundation.interrupts import Signals
from kerascli.foundation.spans import listening
from kerascli.foundation.user_code import exits_as_errors
from kerascli.model.runtime.weights import lasting
from kerascli.report.profile import profile_text
from kerascli.runs.evaluations import write_evaluation
from kerascli.runs.record import RunRecord
from kerascli.training.checkpoint import saved_weights
from kerascli.training.checkpoint_files import training_tensors
from kerascli.training.loop import train
from kerascli.training.profiling.profiler import Profiler
from kerascli.training.step import Trainer
from kerascli.training.tensor_file import tensor_pieces
from kerascli.workflow.advice.advise import notes
from kerascli.workflow.baselines import no_better, target_means
from kerascli.workflow.evaluate import Evaluation, evaluating
from kerascli.workflow.evaluation.facts import evaluation_facts
from kerascli.workflow.fitting.memory_estimate import peak_bytes
from kerascli.workflow.fitting.phases import PhaseRunner
from kerascli.workflow.fitting.recorder import NoRecord, Recorder
from kerascli.workflow.fitting.saver import Saver, interrupted_error
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.memory import STOPS, stopped_by

_MOST_VALUES = 10_000_000
"""Maximum number of values of an output, over all rows of a split, that are held in memory while a run ends."""


def run(runner: PhaseRunner, record: RunRecord, stop: Signals) -> Iterator[Event]:
    """Train all remaining phases, evaluate the model, record the run, and yield all events.

    `stop` has the signals that end the training. Every process calls this function; one of them records the run. If
    that process is lost, another one records how the run ended.
    """
    try:
        with runner.group.guarded(), exits_as_errors():
            last = runner.phases[-1]
            means = target_means(last.spec, last.prepared, runner.state.experiment.device)
            record.note(target_means=means)
            yield from _phases(runner, record)
            runner.state.trainer.refuse_bad_weights(runner.reached)
            record.write_weights(runner.state.trainer.weights_file())
            results = yield from _evaluate_splits(runner, record, means)
        stopped = runner.reached.stopped
        record.finish("completed" if stopped is None else "stopped", reason=stopped, results=results)
    except (Interrupted, Paused) as error:
        record.finish("interrupted", reason=str(error))
        raise
    except ProcessLost as error:
        if isinstance(record, NoRecord):
            RunRecord(record.path).finish_for_another(str(error))
        raise _failed(record, error) from None
    except TrainingStopped as error:
        if isinstance(record, NoRecord):
            raise
        kept = _keep_finite_weights(runner.state.trainer, record)
        raise _failed(record, TrainingStopped([replace(f, text=f"{f.text}; {kept}") for f in error.faults])) from None
    except KerasCliError as error:
        raise _failed(record, error) from None
    except Exception as error:
        record.finish("failed", reason=f"{type(error).__name__}: {error}")
        if isinstance(error, STOPS):
            raise _failed(record, stopped_by(error, hint="a smaller fit.batch_size needs less")) from None
        raise
    if stop.number is not None:
        raise Interrupted("interrupted; the training had ended and is complete", signal_number=stop.number)


def _phases(runner: PhaseRunner, record: RunRecord) -> Iterator[Event]:
    yield from runner.begin(fresh=runner.reached.batch == 0 and runner.reached.epoch == runner.reached.first)
    if runner.state.profiler is not None and not runner.is_last:
        yield Note(f"the profile is of phase {runner.reached.phase + 1}")
    is_measured = False
    while True:
        for event in _phase(runner, record):
            if isinstance(event, EpochEnd) and not is_measured:
                peak, is_measured = peak_bytes(runner.state.experiment.device), True
                record.note(memory={"estimated_bytes": runner.estimated_bytes, "peak_bytes": peak})
            if runner.is_last or not isinstance(event, Stopped):
                yield event
        if runner.is_last:
            return
        yield from runner.begin(fresh=runner.start_next_phase())


def _phase(runner: PhaseRunner, record: RunRecord) -> Iterator[Event]:
    state = runner.state
    saver = Saver(runner, record.checkpoints) if isinstance(record, NoRecord) else Recorder(runner, record)
    events = saver.follow(train(state.trainer, state.plan, runner.reached, looks=state.strategy.leads))
    if state.profiler is not None:
        events = state.profiler.follow(events, batches_done=runner.reached.batch)
    events = _saved_on_signal(events, saver, record.path, runner)
    yield from events if state.profiler is None else _profiled(events, state.profiler, record)


def _profiled(events: Iterator[Event], profiler: Profiler, record: RunRecord) -> Iterator[Event]:
    """Yield a training run's events, then a `Profiled` event, also after an error or signal, which is raised again."""
    try:
        with listening(profiler):
            yield from events
    except Exception:
        yield from _profile_events(profiler, record)
        raise
    yield from _profile_events(profiler, record)


def _profile_events(profiler: Profiler, record: RunRecord) -> Iterator[Event]:
    profile = profiler.finish()
    if profile is None:
        yield Note("no step was trained: there is nothing to profile")
        return
    files = {"summary.txt": profile_text(profile).encode()}
    trace = profiler.trace()
    if trace is not None:
        files["trace.json"] = trace
    try:
        paths = record.write_profile(files)
    except StorageError as error:  # the training is not affected, and the profile is printed
        yield Note(f"the profile could not be saved: {error}", "warning")
        paths = []
    yield replace(profile, files=tuple(map(str, paths)))


def _keep_finite_weights(trainer: Trainer, record: RunRecord) -> str:
    """Save the last finite weights after training had to stop; return a sentence on which ones are saved.

    If an update overflowed, the weights in memory are not finite: then those of the last checkpoint are saved.
    """
    is_divided = any(weight.part is not None for weight in trainer.weights)  # others do not write their parts now
    if not is_divided and trainer.has_finite_weights():
        record.write_weights(trainer.weights_file())
        return f"the last finite weights are saved in {record.path}"
    try:
        checkpoint = record.checkpoints.newest()
    except KerasCliError:
        return "no weights are saved: there was no checkpoint before it"
    saved = saved_weights(training_tensors(checkpoint.blobs))
    record.write_weights(tensor_pieces({w.name: saved[w.name] for w in lasting(trainer.weights) if w.name in saved}))
    return f"the weights of the last checkpoint (step {checkpoint.step}) are saved in {record.path}"


def _failed(record: RunRecord, error: KerasCliError) -> KerasCliError:
    record.finish("failed", reason=str(error))
    return error


def _saved_on_signal(events: Iterator[Event], saver: Saver, run: Path, runner: PhaseRunner) -> Iterator[Event]:
    """Yield the events of a training run; on a signal finish the step, save a checkpoint, and raise Interrupted.

    After an epoch, raise Paused if the option `pause` gives a reason.
    """
    for event in events:
        yield event
        if isinstance(event, EpochEnd) and not (runner.is_last and saver.is_last(event)):
            reason = runner.options.pause(f"epoch {event.epoch}")
            if reason is not None:
                saver.save(reason, wait=True)
                raise Paused(reason)
        number = runner.group.notices.common_signal
        if number is not None and not isinstance(event, Stopped):  # nothing is left to save at the last event
            saver.save("a signal", wait=True)
            progress = saver.progress
            where = f"epoch {progress.epoch + 1}, step {progress.batch}"
            raise interrupted_error(f"interrupted at {where}; saved", run, number)


def _evaluate_splits(
    runner: PhaseRunner, record: RunRecord, means: Mapping[str, list[float]]
) -> Generator[Event, None, dict[str, dict[str, float]]]:
    """Evaluate the final weights on the test and validation splits; return {"test": losses and metrics by name}, or {}.

    Events of the evaluation are yielded. The values of the baselines are written to run.json, and all results to the
    run's folder evaluations/, for the command `report`; of a smoke run to neither. `means` maps each output to the mean
    of its target over the training rows, the prediction of a baseline.
    """
    phase, state, limits = runner.phase, runner.state, runner.options.limits
    prepared, config = phase.prepared, phase.config
    run = LoadedRun(record, config, state.experiment, prepared, config.data, prepared.learned, strategy=state.strategy)
    shared = partial(state.strategy.evaluated, limit=limits.get("validation_steps"))
    results: dict[str, dict[str, float]] = {}
    for name in ("test",) if limits else ("test", "validation"):
        if (rows := prepared.splits.get(name)) is None:
            continue
        work = evaluating(run, rows, name, means, shared, 0 if limits else _MOST_VALUES)
        while True:
            try:
                yield next(work)
            except StopIteration as done:
                evaluation: Evaluation = done.value
                break
            if (number := runner.group.notices.common_signal) is not None:
                if name != "test":  # the run is complete, but for numbers of its page
                    return results
                text = "interrupted: trained and saved, but not evaluated on the test split"
                raise interrupted_error(text, record.path, number)
        if name == "test":
            yield from _test_events(runner, record, evaluation.result)
            results["test"] = dict(evaluation.result.logs)
        if not isinstance(record, NoRecord) and not limits:
            yield from _kept(run, rows, evaluation)
    return results


def _test_events(runner: PhaseRunner, record: RunRecord, result: Evaluated) -> Iterator[Event]:
    """Yield the result on the test split, and warnings about baselines, whose values are written to run.json."""
    training = runner.state.experiment.spec.training
    record.note(baselines={"test": result.baselines})
    yield result
    if training is not None and not runner.options.limits:  # a smoke run is no training
        yield from notes(no_better(result, training.log_names()))


def _kept(run: LoadedRun, rows: Split, evaluation: Evaluation) -> Iterator[Note]:
    """Write the results of an evaluation of rows to the run's folder; yield a warning if that fails."""
    try:
        write_evaluation(run.record, evaluation.result.split, evaluation_facts(run, rows, evaluation, {}))
    except KerasCliError as error:
        yield Note(f"the results are not kept as numbers: {error}", "warning")
