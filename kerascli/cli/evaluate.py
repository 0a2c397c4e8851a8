"""kerascli evaluate [RUN] [FILE|SPLIT]"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kerascli.cli import options

if TYPE_CHECKING:
    from kerascli.workflow.evaluate import Classified


def register(app: typer.Typer) -> None:
    app.command("evaluate")(evaluate_command)


def evaluate_command(
    run: Annotated[str, typer.Argument(help="latest, a run's name, a prefix of it, or its path.")] = "latest",
    what: Annotated[str, typer.Argument(metavar="[FILE|SPLIT]", help="test, validation, train, or a file.")] = "test",
    checkpoint: Annotated[str | None, typer.Option(help="The weights of a named checkpoint: best.")] = None,
    device: options.Device = "auto",
    runs_dir: options.RunsDir = Path("runs"),
    as_json: options.Json = False,
) -> None:
    """Compute loss and metrics of a run; for classes a table and a confusion matrix as a picture."""
    evaluate(run, what, checkpoint=checkpoint, device=device, runs_dir=runs_dir, as_json=as_json)


def evaluate(
    run: str, what: str, *, checkpoint: str | None, device: str, runs_dir: Path, as_json: bool = False
) -> None:
    """Print the figures; write plots/confusion_OUTPUT.png into the run."""
    import dataclasses
    import json

    record = options.find_run(run, runs_dir)
    from kerascli.report.classes import class_table
    from kerascli.report.console import figures
    from kerascli.workflow.evaluate import evaluate_run
    from kerascli.workflow.opened import open_run

    evaluation = evaluate_run(open_run(record, device=device, checkpoint=checkpoint, progress=options.download_bar()), what)
    result = evaluation.result
    pictures = [_picture(record.plot_path(f"confusion_{c.output}.png"), c) for c in evaluation.classified]
    if as_json:
        classes = {c.output: [dataclasses.asdict(row) for row in c.rows] for c in evaluation.classified}
        facts = {"run": str(record.path), "split": result.split, "rows": result.rows, **result.logs}
        typer.echo(json.dumps({**facts, "classes": classes}))
        return
    typer.echo(f"{result.split}  {figures(result.logs)}  ({result.rows:,} rows)")
    for classified in evaluation.classified:
        title = f"\n{classified.output}\n" if len(evaluation.classified) > 1 else "\n"
        typer.echo(title + class_table(classified.rows))
    for picture in pictures:
        options.note(f"confusion matrix: {picture}")


def _picture(path: Path, classified: "Classified") -> Path:
    from kerascli.report.plots import confusion_matrix, save

    save(confusion_matrix(classified.matrix.tolist(), classified.names), path)
    return path
