"""Two steps of everything that a run can do, in a temporary folder: what CI asks of a config."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from kerascli.data.prepare import Split
from kerascli.events import Began, EpochEnd, Evaluated
from kerascli.report.plots import plot_history, save
from kerascli.runs.record import RunRecord
from kerascli.spec.load import open_config
from kerascli.workflow.evaluate import evaluate_rows, rows_of
from kerascli.workflow.opened import open_run
from kerascli.workflow.predict import predict_rows
from kerascli.workflow.train import Options, resume, start

_STEPS = 2


def smoke(path: Path, *, sets: list[str], flags: list[str], device: str = "auto") -> Iterator[str]:
    """Yield a line a part that worked; raises KerasCliError at the first that does not."""
    with tempfile.TemporaryDirectory(prefix="kerascli-smoke-") as folder:
        limits = {"epochs": 1, "steps_per_epoch": _STEPS, "validation_steps": _STEPS}
        options = Options(runs_dir=Path(folder), device=device, limits=limits)
        record: RunRecord | None = None
        for event in start(open_config(path, sets=sets, flags=flags), options):
            match event:
                case Began():
                    record = RunRecord.open(Path(event.run))
                case EpochEnd():
                    yield f"fit: {_STEPS} steps, {len(event.logs)} figures"
                case Evaluated():
                    yield f"test: {_STEPS} steps"
                case _:
                    pass
        assert record is not None
        yield f"checkpoint: step {record.checkpoints.newest().step}"
        for _ in resume(record, options, []):
            pass
        yield "resume: done"
        run = open_run(record, device=device)
        rows = _head(rows_of(run, "train", targets=True), _STEPS * run.experiment.spec.fit.batch_size)
        evaluate_rows(run, rows, "train")
        yield f"evaluate: {rows.rows:,} rows"
        yield f"predict: {predict_rows(run, rows).rows:,} rows"
        save(plot_history([(record.name, record.history())]), record.plot_path("history.png"))
        yield "plot: history.png"


def _head(split: Split, rows: int) -> Split:
    sections = ({name: values[:rows] for name, values in s.items()} for s in (split.inputs, split.targets, split.sample_weight))
    return Split(*sections, rows=min(rows, split.rows))
