"""The `kerascli` command: its sub-commands, and what happens to errors."""

import os
import signal
import sys
from types import FrameType

import typer

from kerascli import __version__
from kerascli.cli import (
    evaluate,
    explain,
    init,
    listing,
    plot,
    predict,
    runs,
    schema,
    summary,
    train,
    validate,
)
from kerascli.errors import Interrupted, KerasCliError

_HELP = "Deep learning described, not programmed: one YAML file in Keras's words becomes a trained PyTorch model."

app = typer.Typer(
    help=_HELP, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=True
)

for command in (train, evaluate, predict, summary, plot, validate, init, listing, explain, schema, runs):
    command.register(app)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"kerascli {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Options of the program itself."""


def main() -> None:
    """Run a command; every error that a user can cause ends in a few lines and its exit code."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app()
    except KerasCliError as error:
        _tell(error)
        sys.exit(error.code if isinstance(error, Interrupted) else error.exit_code)
    except BrokenPipeError:  # `| head`: nobody listens any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except MemoryError:
        typer.echo("error: no memory is left\n  hint: a smaller fit.batch_size needs less", err=True)
        sys.exit(5)
    except Exception as error:
        _report_bug(error)
        sys.exit(1)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Before there is anything to save, a signal just ends the program."""
    raise Interrupted("interrupted", signal_number=number)


def _tell(error: KerasCliError) -> None:
    for index, fault in enumerate(error.faults):
        if index:
            typer.echo("", err=True)
        for line in fault.lines():
            typer.echo(line, err=True)


def _report_bug(error: Exception) -> None:
    """A bug of ours: say where, keep the traceback in a file."""
    import tempfile
    import traceback
    from pathlib import Path

    frame = traceback.extract_tb(error.__traceback__)[-1]
    with tempfile.NamedTemporaryFile("w", prefix="kerascli-crash-", suffix=".txt", delete=False) as file:
        file.write(f"kerascli {__version__}: {' '.join(sys.argv[1:])}\n")
        traceback.print_exception(error, file=file)
    where = f"{Path(frame.filename).name}:{frame.lineno}"
    typer.echo(f"internal error: {type(error).__name__}: {error} ({where})", err=True)
    typer.echo(f"  hint: this is a bug of kerascli; please report it with {file.name}", err=True)
