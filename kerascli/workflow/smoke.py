"""Smoke test of a config: train for two steps, resume, evaluate, predict and plot, in a temporary folder."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from kerascli.config.config import Progress
from kerascli.config.yaml.document import Document
from kerascli.data.batches.rows import MemorySplit
from kerascli.foundation.errors import Interrupted
from kerascli.foundation.events import EpochBegin, EpochEnd, Evaluated, Event, Note
from kerascli.interop.example_inputs import sample_inputs
from kerascli.report.plots import plot_history, save
from kerascli.runs.index import list_runs
from kerascli.workflow.bases import open_config
from kerascli.workflow.evaluate import evaluate_rows
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.loaded import LoadedRun, open_run
from kerascli.workflow.predict import predict_rows
from kerascli.workflow.rows.command_rows import rows_of
from kerascli.workflow.train import resume, start

_STEPS, _DEFAULTS = 2, Options()


def smoke(
    source: Path | Document, chosen: Options = _DEFAULTS, *, flags: Sequence[str], progress: Progress | None = None
) -> Iterator[str]:
    """Run a smoke test: train a config for two steps, resume, evaluate, predict, plot; yield a line for each command.

    `chosen` has the device, the number of threads, and the folder with the runs that bases and `init_from` may name;
    `flags` are the arguments of `--flag name=value`; `progress` is called during downloads with (name, bytes so far,
    total bytes). The first error is raised.
    """
    with _temporary_runs() as folder:
        config = open_config(source, flags=flags, progress=progress, fold=1, runs_dir=chosen.runs_dir)
        options = _options(folder, chosen, _STEPS)
        yield from _fit(start(config, options))
        [record] = list_runs(folder)
        yield f"checkpoint: step {record.checkpoints.newest().step}"
        for _ in resume(record, options, [], progress=progress):
            pass
        yield "resume: done"
        yield from _use(open_run(record, device=chosen.device, threads=chosen.threads, progress=progress))


def first_step(document: Document) -> Iterator[str]:
    """Train a config for one step, validate and test it, in a temporary folder; yield its warnings.

    Weights that training would download are random instead. The first error is raised.
    """
    with _temporary_runs() as folder:
        for event in start(open_config(document), _options(folder, _DEFAULTS, 1)):
            if isinstance(event, Note) and event.level == "warning":
                yield "\n".join([_warning(event), *event.below])


@contextmanager
def _temporary_runs() -> Iterator[Path]:
    """Context manager with a temporary folder for runs, which the hint of an interruption does not name."""
    with tempfile.TemporaryDirectory(prefix="kerascli-smoke-") as folder:
        try:
            yield Path(folder)
        except Interrupted as error:
            raise Interrupted("interrupted", signal_number=error.signal_number) from None


def _options(folder: Path, chosen: Options, steps: int) -> Options:
    """Return the options of a run of a few steps in a temporary folder, without downloads of weights."""
    limits = {"epochs": 1, "steps_per_epoch": steps, "validation_steps": steps}
    return replace(
        chosen, runs_dir=folder, data=None, source_runs=chosen.runs_dir, limits=limits, downloads_weights=False
    )


def _warning(note: Note) -> str:
    return f"{note.place}: warning: {note.text}" if note.place else f"warning: {note.text}"


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
            case Note(level="warning"):
                yield _warning(event)


def _use(run: LoadedRun) -> Iterator[str]:
    rows = rows_of(run, "train", targets=True).read(slice(0, _STEPS * run.experiment.spec.fit.batch_size))
    evaluate_rows(run, rows, "train")
    yield f"evaluate: {rows.rows:,} rows"
    if run.has_own_inputs:  # which the `data` section does not provide
        made = sample_inputs(run.experiment.spec.model, _STEPS)
        rows = MemorySplit({name: values.numpy() for name, values in made.items()}, {}, {}, _STEPS)
    yield f"predict: {predict_rows(run, rows).rows:,} rows"
    save(plot_history([(run.record.name, run.record.history())]), run.record.plot_path("history.png"))
    yield "plot: history.png"
