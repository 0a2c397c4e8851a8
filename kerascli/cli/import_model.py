"""kerascli import MODEL"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from kerascli.cli import options
from kerascli.errors import ConfigError, counted, safe_text


def register(app: typer.Typer) -> None:
    app.command("import")(import_command)


def import_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A .keras, .h5 or .hdf5 file, or a model's .json.")],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Part of the run folder's name; default: the file's.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="CONFIG", help="A config with data and fit to train further with, or with views."
        ),
    ] = None,
    no_compile: Annotated[
        bool, typer.Option("--no-compile", help="Leave the file's loss, metrics and optimizer.")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="CONFIG", help="MODEL holds weights alone; the model is this config's."),
    ] = None,
    by_name: Annotated[
        bool, typer.Option("--by-name", help="With --config: only the layers that both have, by their names.")
    ] = False,
    runs_dir: options.RunsDir = options.RUNS_DIR,
) -> None:
    """Make a run of a model that Keras saved: for predict, evaluate and further training."""
    if by_name and config is None:
        raise ConfigError("--by-name needs --config: a whole model has names of its own")
    if config is not None:
        if data is not None or no_compile:
            other = "--data" if data is not None else "--no-compile"
            raise ConfigError(f"--config and {other} cannot be given together: the config says all but the weights")
        from kerascli.workflow.interchange.importing_weights import import_weights

        found = import_weights(model, config, runs_dir=runs_dir, name=name, by_name=by_name, command=sys.argv[1:])
    else:
        from kerascli.workflow.interchange.importing import import_model

        found = import_model(
            model, runs_dir=runs_dir, name=name, data=data, compiled=not no_compile, command=sys.argv[1:]
        )
    for text in found.notes:
        options.note(text)
    typer.echo(f"run   {safe_text(str(found.record.path))}  ({counted(found.parameters, 'parameter')})")
