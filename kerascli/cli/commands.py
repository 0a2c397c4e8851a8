"""All commands of `kerascli`: their modules, in the order in which the help lists them."""

import importlib
import os
from pathlib import Path

import typer

from kerascli import __version__
from kerascli.cli.process_group import refuse_several
from kerascli.cli.program import app
from kerascli.foundation.disk.storage import reported

for _module in (
    "train", "tune", "evaluate", "predict", "why", "generate", "samples", "import_model", "export", "summary", "plot",
    "report", "watch", "validate", "init", "reference", "runs", "studies",
):  # fmt: skip
    importlib.import_module(f"kerascli.cli.{_module}")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"kerascli {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Options of the program that are written before the command, such as `--version`."""
    with reported("use the current folder", Path()):
        os.getcwd()  # without one torch ends the process while it is loaded
    refuse_several(context.invoked_subcommand)
