"""Evaluate the final weights of a training run on its test and validation splits, and keep the results in its folder.

A baseline is a prediction that needs no model: the mean of the training targets, the most frequent class, or an earlier
value of a time series. Its loss and metrics are computed on the same rows; the model should be better.
"""

from collections.abc import Generator, Iterator, Mapping
from functools import partial

from kerascli.data.batches.rows import Split
from kerascli.foundation.errors import KerasCliError
from kerascli.foundation.events import Evaluated, Event, Note
from kerascli.runs.evaluations import write_evaluation
from kerascli.runs.record import RunRecord
from kerascli.workflow.advice.advise import notes
from kerascli.workflow.baselines import no_better
from kerascli.workflow.evaluate import Evaluation, evaluating
from kerascli.workflow.evaluation.facts import evaluation_facts
from kerascli.workflow.fitting.phases import PhaseRunner
from kerascli.workflow.fitting.recorder import NoRecord
from kerascli.workflow.fitting.saver import interrupted_error
from kerascli.workflow.loaded import LoadedRun

_MOST_VALUES = 10_000_000
"""Maximum number of values of an output, over all rows of a split, that are held in memory while a run ends."""


def evaluate_splits(
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
