"""The command `kerascli plot`: the training curves of runs, a diagram of a model, or a forecast of a series."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from kerascli.cli import complete, options
from kerascli.cli.options import argument, option
from kerascli.config.yaml.document import Document
from kerascli.foundation.disk.storage import write_bytes
from kerascli.foundation.errors import ConfigError
from kerascli.report import plots
from kerascli.runs.index import LATEST
from kerascli.runs.record import RunRecord

_ABOUT_RUNS, _ABOUT_MODEL, _ABOUT_FORECAST = (
    ("--metric", "--log"), ("--expand", "--view", "--size", "--set", "--flag"), ("--horizon", "--future"),
)  # fmt: skip
"""Options of the plot of runs, of the diagram of a model, and of the plot of a forecast."""


def plot(
    runs: Annotated[
        list[str] | None,
        argument("RUN", "Default: the latest run. With --model: a run, a config or an application.", complete.models),
    ] = None,
    output: Annotated[
        Path | None, option("--output -o FILE", "A .png, .svg or .pdf file; with --model also .mmd, .dot, .gv.")
    ] = None,
    metric: Annotated[list[str] | None, option("--metric NAME", "Metric to plot; may be repeated.")] = None,
    log: Annotated[bool, option("--log", "Use a logarithmic scale.")] = False,
    model: Annotated[bool, option("--model", "Draw a model's layers and their connections.")] = False,
    expand: Annotated[bool, option("--expand", "With --model: draw inside blocks, every repeat.")] = False,
    forecast: Annotated[bool, option("--forecast", "Draw a series: history, truth and forecast.")] = False,
    horizon: options.Horizon = None,
    future: options.Future = None,
    view: options.View = None,
    size: options.Size = None,
    sets: options.Sets = [],  # noqa: B006  # typer reads it once
    flags: options.Flags = [],  # noqa: B006
    runs_dir: options.RunsDir = options.RUNS_DIR,
) -> None:
    """Plot the metrics of runs; with --model the diagram of a model, with --forecast the forecast of a series."""
    values = {"--metric": metric, "--log": log, "--expand": expand, "--view": view, "--set": sets, "--flag": flags,
              "--size": size, "--horizon": horizon, "--future": future, "--model": model}  # fmt: skip
    if forecast:
        options.refuse(values, (*_ABOUT_RUNS, *_ABOUT_MODEL, "--model"), "cannot be used with --forecast")
        file = draw_forecast(runs or [LATEST], output, runs_dir, horizon, future)
    elif model:
        options.refuse(values, _ABOUT_FORECAST, "can only be used with --forecast")
        options.refuse(values, _ABOUT_RUNS, "cannot be used with --model")
        file = draw_model(runs or [], output, runs_dir, sets=sets, flags=flags, expand=expand, view=view, size=size)
    else:
        options.refuse(values, _ABOUT_FORECAST, "can only be used with --forecast")
        options.refuse(values, _ABOUT_MODEL, "can only be used with --model")
        records = [options.find_run(run, runs_dir) for run in runs or [LATEST]]
        file = draw(records, output, metric, log_scale=log)
    options.say(f"{file}\n")


def draw_model(
    what: Sequence[str],
    output: Path | None,
    runs_dir: Path,
    *,
    sets: Sequence[str] = (),
    flags: Sequence[str] = (),
    expand: bool = False,
    view: str | None = None,
    size: int | None = None,
) -> Path:
    """Draw the diagram of a config's or run's model into a file (default: in the run folder); return its path."""
    if len(what) > 1:
        raise ConfigError("--model draws one model", hint=f"kerascli plot --model {what[0]}")
    from kerascli.report.architecture.drawing import SUFFIXES, encoded_model

    file = None if output is None else _file(output, SUFFIXES)
    source = options.config_or_run(next(iter(what), None), runs_dir, sets, flags, size)
    if isinstance(source, Document) and output is None:
        hint = f"name the file: -o {Path(source.name).stem}.png"
        raise ConfigError("the diagram of a config needs a file name", hint=hint)
    from kerascli.workflow.check import graphs_of

    spec = options.model_spec(source, flags)
    if not isinstance(source, Document):
        output = output or source.plot_path("model.png" if view is None else f"model-{view}.png")
    assert output is not None
    name, graph, updates = graphs_of(spec, view)
    write_bytes(file or output, encoded_model(graph, name, output.suffix, expand=expand, updates=updates))
    return output


def draw_forecast(
    what: Sequence[str], output: Path | None, runs_dir: Path, horizon: int | None, future: Path | None
) -> Path:
    """Draw the forecast of a run's series into a file (default: in the run folder); return its path."""
    if len(what) > 1:
        raise ConfigError("--forecast draws one run", hint=f"kerascli plot --forecast {what[0]}")
    record = options.trained_run(what[0], runs_dir, None)
    file = None if output is None else _file(output, reads=[] if future is None else [future])
    from kerascli.report.forecast_plot import plot_forecast
    from kerascli.workflow.forecasting.picture import forecast_picture
    from kerascli.workflow.loaded import open_run

    opened = open_run(record, progress=options.download_bar())
    picture = forecast_picture(opened, horizon, future)
    options.warn(opened.warnings)
    if picture.note is not None:
        options.note(picture.note)
    figure = plot_forecast(picture.panels, record.folder_name, axis=picture.axis, truth=picture.truth)
    output = output or record.plot_path("forecast.png")
    write_bytes(file or output, plots.encoded(figure, output.suffix))
    return output


def draw(
    runs: Sequence[RunRecord], output: Path | None, metrics: Sequence[str] | None = None, *, log_scale: bool = False
) -> Path:
    """Draw the training curves of runs into one file (default: in the run folder); return its path."""
    if output is None:
        if len(runs) > 1:
            raise ConfigError("the plot of several runs needs a file name", hint="name the file: -o curves.png")
        output = file = runs[0].plot_path("history.png")
    else:
        file = _file(output)
    histories = [run.history() for run in runs]
    figure = plots.plot_history(list(zip(_labels(runs), histories, strict=True)), metrics or None, log_scale=log_scale)
    write_bytes(file, plots.encoded(figure, output.suffix))
    return output


def _file(output: Path, suffixes: Sequence[str] = plots.SUFFIXES, reads: Sequence[Path] = ()) -> Path:
    """Return the path of a plot's output file if it may be written. Raises ConfigError, StorageError."""
    from kerascli.workflow.outputs import writable

    plots.check_suffix(output, suffixes)
    return writable(output, output.suffix.lower(), reads=reads)


def _labels(runs: Sequence[RunRecord]) -> list[str]:
    """Return the labels of runs in a plot's legend: the shortest names that distinguish the runs."""
    for names in ([run.name for run in runs], [run.folder_name for run in runs]):
        if len(runs) > 1 and len(set(names)) == len(runs):
            return names
    return [run.folder_name if len(runs) == 1 else str(run.path) for run in runs]
