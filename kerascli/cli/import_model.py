"""The command `kerascli import MODEL`: make a run from a model saved by Keras (.keras, .h5)."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from kerascli.cli import options
from kerascli.foundation.errors import ConfigError, counted, safe_text

_Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="CONFIG", help="A config with data and fit for further training, or with views."),
]
_Pipeline = Annotated[
    Path | None,
    typer.Option(
        "--pipeline",
        metavar="FILE",
        help="A pipeline file of export: the run then takes raw rows, and names classes.",
    ),
]

_SAFETENSORS = ".safetensors"


def import_command(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A .keras, .h5 or .safetensors file, or an architecture as .json.")
    ],
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the run; default: the file's name.")] = None,
    data: _Data = None,
    pipeline: _Pipeline = None,
    no_compile: Annotated[
        bool, typer.Option("--no-compile", help="Do not import the loss, metrics and optimizer.")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="CONFIG", help="Load MODEL, a file of weights, into this config's model."),
    ] = None,
    by_name: Annotated[bool, typer.Option("--by-name", help="With --config: load layers whose names match.")] = False,
    runs_dir: options.RunsDir = options.RUNS_DIR,
) -> None:
    """Import a model saved by Keras as a run.

    The run can predict, be evaluated and be trained further.
    """
    _check_together(model, data, pipeline, config, no_compile=no_compile, by_name=by_name)
    if config is not None:
        from kerascli.workflow.interchange.importing import import_weights

        imported = import_weights(model, config, runs_dir=runs_dir, name=name, by_name=by_name, command=sys.argv[1:])
    else:
        from kerascli.workflow.interchange.importing import import_model

        imported = import_model(
            model,
            runs_dir=runs_dir,
            name=name,
            data=data,
            pipeline=pipeline,
            compiled=not no_compile,
            command=sys.argv[1:],
        )
    for text in imported.notes:
        options.note(text)
    typer.echo(f"run   {safe_text(str(imported.record.path))}  ({counted(imported.parameters, 'parameter')})")


def _check_together(
    model: Path, data: Path | None, pipeline: Path | None, config: Path | None, *, no_compile: bool, by_name: bool
) -> None:
    """Raise ConfigError if options cannot be combined, or do not go with the kind of the model's file."""
    other = "--data" if data is not None else "--no-compile" if no_compile else None
    if pipeline is not None and (data is not None or config is not None):
        option = "--data" if data is not None else "--config"
        raise ConfigError(f"--pipeline and {option} cannot be given together: each says how rows become inputs")
    if by_name and config is None:
        raise ConfigError("--by-name needs --config: layers are matched by name only with the model of a config")
    if config is not None and other is not None:
        text = f"--config and {other} cannot be given together: with --config only weights are read from the file"
        raise ConfigError(text)
    if model.suffix == _SAFETENSORS and other is not None:
        raise ConfigError(f"{other}: a .safetensors file has a model and weights, nothing to train them with")
