"""Smoke test of a config: train for two steps, resume, evaluate, predict and plot, in a temporary folder."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from kerascli.config.load import Progress, open_config
from kerascli.config.yaml.document import Document
from kerascli.data.batches.rows import MemorySplit
from kerascli.errors import Interrupted
from kerascli.events import EpochBegin, EpochEnd, Evaluated, Event, Note
from kerascli.interop.example_inputs import sample_inputs
from kerascli.report.plots import plot_history, save
from kerascli.runs.index import list_runs
from kerascli.workflow.evaluate import evaluate_rows
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.opened import OpenedRun, open_run
from kerascli.workflow.predict import predict_rows
from kerascli.workflow.rows.given_rows import rows_of
from kerascli.workflow.train import resume, start

_STEPS = 2


def smoke(
    source: Path | Document,
    *,
    sets: Sequence[str],
    flags: Sequence[str],
    device: str = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
    known_runs: Path = Path("runs"),
) -> Iterator[str]:
    """Run the smoke test of a config; yield a text for each command that worked. Raises the first error.

    `known_runs` is the folder with the runs that `model.init_from` may name.
    """
    with tempfile.TemporaryDirectory(prefix="kerascli-smoke-") as folder:
        config = open_config(source, sets=sets, flags=flags, progress=progress)
        before = config.document.at(("fit", "initial_epoch"))
        epochs = before + 1 if isinstance(before, int) else 1
        limits = {"epochs": epochs, "steps_per_epoch": _STEPS, "validation_steps": _STEPS}
        options = Options(runs_dir=Path(folder), device=device, threads=threads, limits=limits, known_runs=known_runs)
        try:
            yield from _fit(start(config, options))
            [record] = list_runs(options.runs_dir)
            yield f"checkpoint: step {record.checkpoints.newest().step}"
            for _ in resume(record, options, [], progress=progress):
                pass
            yield "resume: done"
        except Interrupted as error:  # its hint names a run in the temporary folder
            raise Interrupted("interrupted", signal_number=error.signal_number) from None
        yield from _use(open_run(record, device=device, threads=threads, progress=progress))


def _fit(events: Iterator[Event]) -> Iterator[str]:
    steps = 0
    for event in events:
        match event:
            case EpochBegin():
                steps = event.steps
            case EpochEnd():
                yield f"fit: {steps} steps, {len(event.logs)} metrics"
            case Evaluated():
                yield "test: done"
            case Note(text, "warning", place):
                yield f"{place}: warning: {text}" if place else f"warning: {text}"
            case _:
                pass


def _made(run: OpenedRun) -> MemorySplit:
    """Return random arrays for a model with inputs that the config's `data` section does not provide."""
    made = sample_inputs(run.experiment.spec.model, _STEPS)
    return MemorySplit({name: values.numpy() for name, values in made.items()}, {}, {}, _STEPS)


def _use(run: OpenedRun) -> Iterator[str]:
    rows = rows_of(run, "train", targets=True).read(slice(0, _STEPS * run.experiment.spec.fit.batch_size))
    evaluate_rows(run, rows, "train")
    yield f"evaluate: {rows.rows:,} rows"
    yield f"predict: {predict_rows(run, _made(run) if run.has_own_inputs else rows).rows:,} rows"
    record = run.record
    save(plot_history([(record.name, record.history())]), record.plot_path("history.png"))
    yield "plot: history.png"
