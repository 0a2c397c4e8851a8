"""The command `kerascli evaluate [RUN] [FILE|SPLIT]`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kerascli.cli import options
from kerascli.errors import ConfigError, safe_text

if TYPE_CHECKING:
    from kerascli.data.batches.rows import Split
    from kerascli.runs.record import RunRecord
    from kerascli.workflow.evaluate import ClassScores, Evaluation
    from kerascli.workflow.opened import OpenedRun


def register(app: typer.Typer) -> None:
    app.command("evaluate")(evaluate)


def evaluate(
    run: options.Run = "latest",
    what: Annotated[
        str | None,
        typer.Argument(metavar="FILE|SPLIT", help="A file, or a split; default: test, else validation, train."),
    ] = None,
    checkpoint: options.Checkpoint = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    runs_dir: options.RunsDir = options.RUNS_DIR,
    as_json: options.Json = False,
) -> None:
    """Compute a run's loss and metrics, and the scores of each class."""
    record = _record(run, what, runs_dir, checkpoint)
    from kerascli.workflow.evaluate import evaluate_rows
    from kerascli.workflow.opened import open_run

    opened = open_run(record, device=device, threads=threads, checkpoint=checkpoint, progress=options.download_bar())
    name, rows = _rows(opened, what)
    options.warn(opened.warnings)
    evaluation = evaluate_rows(opened, rows, name)
    pictures = [_picture(record.plot_path(f"confusion_{c.output}.png"), c) for c in evaluation.class_scores]
    if as_json:
        options.say_json(_facts(record, evaluation))
    else:
        options.say(_text(evaluation))
    for picture in pictures:
        options.note(f"confusion matrix: {picture}")


def _record(run: str, what: str | None, runs_dir: Path, checkpoint: str | None) -> "RunRecord":
    try:
        return options.trained_run(run, runs_dir, checkpoint)
    except ConfigError:
        if what is None and run in options.SPLITS:
            raise ConfigError(f"there is no run '{run}'", hint=f"kerascli evaluate latest {run}") from None
        raise


def _rows(run: "OpenedRun", what: str | None) -> tuple[str, "Split"]:
    """Return the name and rows of `what`; by default of the first of test, validation and train that the data has."""
    from kerascli.workflow.changed_data import load_again
    from kerascli.workflow.evaluate import rows_of

    if what is not None or run.data is None:
        return what or "test", rows_of(run, what or "test", targets=True)
    splits = load_again(run).splits
    name = next(name for name in options.SPLITS if name in splits)
    if name != options.SPLITS[0]:
        options.note(f"split: {name} (the run's data has no '{options.SPLITS[0]}' split)")
    return name, splits[name]


def _text(evaluation: "Evaluation") -> str:
    from kerascli.report.classes import class_table
    from kerascli.report.console import metrics_text

    result = evaluation.result
    lines = [f"{safe_text(result.split)}  {metrics_text(result.logs)}  ({result.rows:,} rows)"]
    for scores in evaluation.class_scores:
        lines += ["", *([scores.output] if len(evaluation.class_scores) > 1 else []), class_table(scores.rows)]
    return "\n".join([*lines, ""])


def _facts(record: "RunRecord", evaluation: "Evaluation") -> dict[str, Any]:
    import dataclasses

    result = evaluation.result
    classes = {c.output: [dataclasses.asdict(row) for row in c.rows] for c in evaluation.class_scores}
    facts = {"run": str(record.path), "split": result.split, "rows": result.rows, "results": dict(result.logs)}
    return {**facts, "classes": classes}


def _picture(path: Path, scores: "ClassScores") -> Path:
    from kerascli.report.plots import confusion_matrix, save

    save(confusion_matrix(scores.matrix.tolist(), scores.names), path)
    return path
