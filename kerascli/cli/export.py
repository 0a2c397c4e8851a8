"""The command `kerascli export RUN`: write a run's model to a Keras, PyTorch or ONNX file."""

from pathlib import Path
from typing import Annotated

import typer

from kerascli.cli import options
from kerascli.errors import ConfigError, one_of, safe_text


def register(app: typer.Typer) -> None:
    app.command("export")(export)


def export(
    run: options.Run,
    kind: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="keras, h5, safetensors, onnx, torch_export or state_dict; default: keras.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Output file; default: named after the run.")
    ] = None,
    view: options.View = None,
    checkpoint: options.Checkpoint = None,
    runs_dir: options.RunsDir = options.RUNS_DIR,
) -> None:
    """Export a run's model to a Keras, PyTorch or ONNX file."""
    kind = kind or "keras"
    record = options.trained_run(run, runs_dir, checkpoint)
    from kerascli.workflow.interchange.exporting import SUFFIXES, check_output, export_run
    from kerascli.workflow.outputs import writable

    if kind not in SUFFIXES:
        raise ConfigError(f"--format: expected {one_of(list(SUFFIXES))}, got '{safe_text(kind)}'")
    output = output or Path(f"{record.name}{f'-{view}' if view else ''}{SUFFIXES[kind]}")
    check_output(output, kind)
    writable(output, SUFFIXES[kind], run=record)
    found = export_run(record, kind, output, view=view, checkpoint=checkpoint)
    from kerascli.disk.storage import size_text

    for text in found.notes:
        options.note(text)
    same = "every weight read back" if found.difference is None else f"largest difference {found.difference:.2g}"
    typer.echo(f"file  {safe_text(str(output))}  ({size_text(found.size_bytes)}, {same})")
