"""The command `kerascli predict RUN FILE|SPLIT`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kerascli.cli import options
from kerascli.errors import ConfigError, StorageError, one_of

if TYPE_CHECKING:
    import numpy as np

    from kerascli.workflow.predict import Predictions


def register(app: typer.Typer) -> None:
    app.command("predict")(predict)


def predict(
    run: options.Run,
    what: Annotated[str, typer.Argument(metavar="FILE|SPLIT", help="A file in the source's format, or a split.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="A .csv, .npy, .npz or .parquet file; default: stdout."),
    ] = None,
    classes: Annotated[bool, typer.Option("--classes", help="Only the predicted class of each row.")] = False,
    keras_names: Annotated[
        bool, typer.Option("--keras-names", help="Use the output names of the imported Keras file.")
    ] = False,
    view: options.View = None,
    checkpoint: options.Checkpoint = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    runs_dir: options.RunsDir = options.RUNS_DIR,
) -> None:
    """Predict classes or values for the rows of a file or a split."""
    from kerascli.report.predictions import csv_text, write_predictions

    if output is not None:
        _check_output(output, classes=classes)
    record = options.trained_run(run, runs_dir, checkpoint)
    if output is not None:
        from kerascli.workflow.outputs import writable

        writable(output, output.suffix.lower(), run=record, reads=[] if what in options.SPLITS else [Path(what)])
    from kerascli.workflow.opened import open_run
    from kerascli.workflow.predict import predict_run

    opened = open_run(record, device=device, threads=threads, checkpoint=checkpoint, progress=options.download_bar())
    found = predict_run(opened, what, view, keras_names=keras_names)
    options.warn(opened.warnings)
    columns = _columns(found, classes=classes)
    if found.non_finite_rows:
        options.note(f"warning: {found.non_finite_rows:,} rows have an output that is nan or infinite")
    if output is None:
        options.say(csv_text(columns))
        return
    write_predictions(output, columns, found.outputs)
    options.note(f"{found.rows:,} rows: {output}")


def _check_output(output: Path, *, classes: bool) -> None:
    """Raise ConfigError or StorageError, before any work, if the output file cannot be written in that format."""
    from kerascli.report.predictions import FORMATS, TABLES
    from kerascli.storage import output_file

    kind = output.suffix.lower()
    if kind not in FORMATS:
        raise ConfigError(f"-o {output}: expected a name that ends in {one_of(FORMATS)}")
    if classes and kind not in TABLES:
        raise ConfigError(f"-o {output}: {kind} holds the raw outputs; --classes needs {one_of(TABLES)}")
    output_file(output)
    if not output.parent.is_dir():
        raise StorageError(f"cannot write '{output}': there is no folder '{output.parent}'")


def _columns(found: "Predictions", *, classes: bool) -> "dict[str, np.ndarray]":
    if not classes:
        return found.columns
    if not found.class_columns:
        raise ConfigError("--classes: this model predicts no classes")
    return {name: found.columns[name] for name in found.class_columns}
