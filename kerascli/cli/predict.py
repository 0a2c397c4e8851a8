"""kerascli predict RUN FILE|SPLIT"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kerascli.cli import options

if TYPE_CHECKING:
    from kerascli.workflow.predict import Predictions


def register(app: typer.Typer) -> None:
    app.command("predict")(predict_command)


def predict_command(
    run: Annotated[str, typer.Argument(help="latest, a run's name, a prefix of it, or its path.")],
    what: Annotated[str, typer.Argument(metavar="FILE|SPLIT", help="A file as the run's source reads it, or a split.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help=".csv, .npy, .npz or .parquet; else stdout.")] = None,
    classes: Annotated[bool, typer.Option("--classes", help="Only the most probable class of each row.")] = False,
    checkpoint: Annotated[str | None, typer.Option(help="The weights of a named checkpoint: best.")] = None,
    device: options.Device = "auto",
    runs_dir: options.RunsDir = Path("runs"),
) -> None:
    """Predict raw rows: class labels and probabilities by name, or numbers."""
    predict(run, what, output=output, classes=classes, checkpoint=checkpoint, device=device, runs_dir=runs_dir)


def predict(
    run: str,
    what: str,
    *,
    output: Path | None,
    classes: bool,
    checkpoint: str | None,
    device: str,
    runs_dir: Path,
) -> None:
    """Write the predictions to a file, or as CSV to stdout."""
    from kerascli.errors import ConfigError
    from kerascli.report.predictions import FORMATS, csv_text, write_predictions

    if output is not None and output.suffix.lower() not in FORMATS:
        raise ConfigError(f"-o {output}: expected a name that ends in {', '.join(FORMATS)}")
    record = options.find_run(run, runs_dir)
    from kerascli.workflow.opened import open_run
    from kerascli.workflow.predict import predict_run

    found = predict_run(open_run(record, device=device, checkpoint=checkpoint, progress=options.download_bar()), what)
    columns = _columns(found, classes=classes)
    if found.non_finite_rows:
        options.note(f"warning: {found.non_finite_rows:,} rows have an output that is nan or infinite")
    if output is None:
        typer.echo(csv_text(columns), nl=False)
        return
    write_predictions(output, columns, found.outputs)
    options.note(f"{found.rows:,} rows: {output}")


def _columns(found: "Predictions", *, classes: bool) -> "dict":
    from kerascli.errors import ConfigError

    if not classes:
        return found.columns
    if not found.class_columns:
        raise ConfigError("--classes: this model predicts no classes")
    return {name: found.columns[name] for name in found.class_columns}
