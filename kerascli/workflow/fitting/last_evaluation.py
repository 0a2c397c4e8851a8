"""Evaluate the final weights of a training run on its test split, and compare them with the run's baselines.

A baseline is a prediction that needs no model: the mean of the training targets, the most frequent class, or an earlier
value of a time series. Its loss and metrics are computed on the same rows; the model should be better.
"""

import shlex
import time
from collections.abc import Generator, Mapping
from pathlib import Path

from kerascli.foundation.errors import Interrupted
from kerascli.foundation.events import Evaluated, Event
from kerascli.runs.record import RunRecord
from kerascli.training.baselines import evaluate_with_baselines
from kerascli.workflow.advice.advise import notes
from kerascli.workflow.baselines import baselines_of, no_better
from kerascli.workflow.fitting.phases import PhaseRunner
from kerascli.workflow.fitting.plan import rows_in_order
from kerascli.workflow.fitting.recorder import NoRecord


def interrupted_error(text: str, run: Path, number: int) -> Interrupted:
    """Return the error of a training run that a signal has ended, with the command that resumes it.

    `text` is the error's message, `run` the folder of the run, `number` the number of the signal.
    """
    command = shlex.join(["kerascli", "train", "--resume", str(run)])
    return Interrupted(text, signal_number=number, hint=f"resume with: {command}")


def evaluate_test(
    runner: PhaseRunner, record: RunRecord | NoRecord, means: Mapping[str, list[float]]
) -> Generator[Event, None, dict[str, dict[str, float]]]:
    """Evaluate the final weights on the test split, if any; return {"test": losses and metrics by name}, or {}.

    Events of the evaluation are yielded; the values of the baselines are written to run.json. `means` maps each output
    to the mean of its target over the training rows, the prediction of a baseline.
    """
    prepared, experiment = runner.phase.prepared, runner.state.experiment
    test = prepared.splits.get("test")
    if test is None:
        return {}
    started, spec = time.monotonic(), experiment.spec
    baselines, test = baselines_of(spec, prepared, prepared.learned, means, test)
    limit = runner.options.limits.get("validation_steps")
    batches = runner.state.strategy.evaluated(rows_in_order(experiment, test), limit)
    work = evaluate_with_baselines(experiment.module, batches, baselines, seed=spec.seed)
    while True:
        try:
            yield next(work)
        except StopIteration as done:
            logs, beside = done.value
            break
        if (number := runner.group.notices.common_signal) is not None:
            raise interrupted_error(
                "interrupted: trained and saved, but not evaluated on the test split", record.path, number
            )
    record.note(baselines={"test": beside})
    evaluated = Evaluated("test", logs, test.rows, time.monotonic() - started, beside)
    yield evaluated
    if spec.training is not None and not runner.options.limits:  # a smoke run is no training
        yield from notes(no_better(evaluated, spec.training.log_names()))
    return {"test": logs}
