"""kerascli plot: the training curves of one run, or of several in one picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from kerascli.cli import options
from kerascli.errors import ConfigError
from kerascli.report import plots
from kerascli.runs.index import LATEST
from kerascli.runs.record import RunRecord
from kerascli.storage import output_file, write_bytes


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("plot")(_command)


def _command(
    runs: Annotated[list[str] | None, typer.Argument(metavar="RUN", help="Default: the latest run.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A .png, .svg or .pdf file. Default: plots/ of the run.")
    ] = None,
    metric: Annotated[list[str] | None, typer.Option("--metric", help="A figure to show; may be repeated.")] = None,
    log: Annotated[bool, typer.Option("--log", help="A logarithmic scale.")] = False,
    runs_dir: options.RunsDir = options.RUNS_DIR,
) -> None:
    """Draw loss and metrics over the epochs of runs."""
    chosen = [options.find_run(run, runs_dir) for run in runs or [LATEST]]
    options.say(f"{draw(chosen, output, metric, log_scale=log)}\n")


def draw(
    runs: Sequence[RunRecord], output: Path | None, metrics: Sequence[str] | None = None, *, log_scale: bool = False
) -> Path:
    """Draw the runs' histories into a file, by default in the run's own folder; returns its path."""
    if output is None:
        if len(runs) > 1:
            raise ConfigError("several runs have no folder in common", hint="name the picture: -o curves.png")
        output = file = runs[0].plot_path("history.png")
    else:
        file = output_file(output)
    plots.check_suffix(output)
    histories = [run.history() for run in runs]
    figure = plots.plot_history(list(zip(_labels(runs), histories, strict=True)), metrics or None, log_scale=log_scale)
    write_bytes(file, plots.encoded(figure, output.suffix))
    return output


def _labels(runs: Sequence[RunRecord]) -> list[str]:
    """The shortest names that tell the runs apart."""
    for names in ([run.name for run in runs], [run.folder_name for run in runs]):
        if len(runs) > 1 and len(set(names)) == len(runs):
            return names
    return [run.folder_name if len(runs) == 1 else str(run.path) for run in runs]
