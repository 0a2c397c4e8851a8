"""The command `kerascli plot`: the training curves of runs, a model, a training batch, or a forecast of a series."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from kerascli.cli import complete, options
from kerascli.cli.options import argument, option
from kerascli.foundation.disk.storage import write_bytes
from kerascli.foundation.errors import ConfigError
from kerascli.runs.reading import LATEST, quoted

if TYPE_CHECKING:
    from kerascli.config.yaml.document import Document
    from kerascli.runs.record import RunRecord

    Source = Document | RunRecord

_ABOUT = {
    "": ("--metric", "--log", "--smooth"), "--model": ("--expand", "--view", "--size", "--set", "--flag"),
    "--data": ("--set", "--flag"), "--forecast": ("--horizon", "--future"),
}  # fmt: skip
"""Options of each kind of plot: of the curves of runs and, by the option that asks for it, of the others."""


def plot(
    runs: Annotated[
        list[str] | None,
        argument("RUN", "Default: the latest run. With --model, --data: a run or config.", complete.models),
    ] = None,
    output: Annotated[
        Path | None, option("--output -o FILE", "A .png, .svg or .pdf file; with --model also .mmd, .dot, .gv.")
    ] = None,
    metric: Annotated[list[str] | None, option("--metric NAME", "Metric to plot; may be repeated.")] = None,
    log: Annotated[bool, option("--log", "Use a logarithmic scale.")] = False,
    smooth: Annotated[
        float, option("--smooth W", "Weight of the values before in a moving average; 0: none.", min=0, max=0.999)
    ] = 0.0,
    data: Annotated[bool, option("--data", "Draw a training batch as the model gets it.")] = False,
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
    """Plot the metrics of runs; with --model the diagram of a model, with --data a training batch, with --forecast the
    forecast of a series."""
    values = {"--metric": metric, "--log": log, "--smooth": smooth, "--expand": expand, "--view": view, "--set": sets,
              "--flag": flags, "--size": size, "--horizon": horizon, "--future": future}  # fmt: skip
    _refuse_idle(values, {"--forecast": forecast, "--model": model, "--data": data})
    if forecast:
        file = draw_forecast(runs or [LATEST], output, runs_dir, horizon, future)
    elif model or data:
        find = partial(options.config_or_run, runs_dir=runs_dir, sets=sets, flags=flags, size=size)
        place, source, file = _one_of(runs or [], output, "--model" if model else "--data", find, view)
        drawn = partial(_model, expand=expand, view=view) if model else _batch
        write_bytes(place, drawn(source, file.suffix, flags, runs_dir))
    else:
        records, metrics, default = named_runs(runs or [LATEST], runs_dir)
        file = draw(records, output or default, metric or metrics, log_scale=log, smooth=smooth)
    options.say(f"{file}\n")


def _refuse_idle(values: Mapping[str, object], kinds: Mapping[str, bool]) -> None:
    """Raise ConfigError for an option that has no effect on the kind of plot that is asked for."""
    kind = next((name for name, is_chosen in kinds.items() if is_chosen), "")
    others = _ABOUT[""] if kind else ()
    idle = [*(name for name in kinds if name != kind), *others]
    options.refuse({**kinds, **values}, f"cannot be used with {kind}", idle)
    for other, names in _ABOUT.items():
        options.refuse(values, f"can only be used with {other}", [name for name in names if name not in _ABOUT[kind]])


def named_runs(names: Sequence[str], runs_dir: Path) -> "tuple[list[RunRecord], list[str] | None, Path | None]":
    """Return the runs to plot, and for a study, which stands for all its runs, the metrics and the file by default."""
    study = options.study_of(names[0], runs_dir) if len(names) == 1 else None
    if study is None:
        return [options.find_run(name, runs_dir) for name in names], None, None
    runs: list[RunRecord] = [run for member in study.members() if (run := member.runs[-1]).rows()]
    if not runs:
        raise ConfigError(f"no run of {quoted(study.path)} has an epoch to plot")
    objectives = None if study.facts.tune is None else [each.name for each in study.tune.objective]
    return runs, objectives, study.path / "curves.png"


def _one_of(
    what: Sequence[str], output: Path | None, kind: str, find: "Callable[[str | None], Source]", view: str | None
) -> "tuple[Path, Source, Path]":
    """Return (file to write, the config or run to draw, as `find` finds it, the file's path as it is printed).

    Raises ConfigError.
    """
    from kerascli.config.yaml.document import Document
    from kerascli.report.architecture.drawing import SUFFIXES

    if len(what) > 1:
        raise ConfigError(f"{kind} draws one config or run", hint=f"kerascli plot {kind} {what[0]}")
    file = _file(output, SUFFIXES if kind == "--model" else None)
    source = find(next(iter(what), None))
    if isinstance(source, Document):
        if file is None or output is None:
            hint = f"name the file: -o {Path(source.name).stem}.png"
            raise ConfigError("the plot of a config needs a file name", hint=hint)
        return file, source, output
    output = output or source.plot_path(f"{kind[2:]}{'' if view is None else f'-{view}'}.png")
    return file or output, source, output


def _model(
    source: "Source", suffix: str, flags: Sequence[str], runs_dir: Path, *, expand: bool, view: str | None
) -> bytes:
    """Return the diagram of a config's or run's model as a file."""
    from kerascli.report.architecture.drawing import encoded_model
    from kerascli.workflow.check import graphs_of

    name, graph, updates = graphs_of(options.model_spec(source, flags, runs_dir), view)
    return encoded_model(graph, name, suffix, expand=expand, updates=updates)


def _batch(source: "Source", suffix: str, flags: Sequence[str], runs_dir: Path) -> bytes:
    """Return the picture of the first training batch of a config or run as a file."""
    from kerascli.config.load import open_recorded
    from kerascli.config.yaml.document import Document
    from kerascli.data.pipeline.learned_state import load_learned
    from kerascli.report.pictures import plot_batch
    from kerascli.report.plots import encoded
    from kerascli.workflow.bases import open_config
    from kerascli.workflow.rows.batch_picture import batch_picture

    if isinstance(source, Document):
        made = batch_picture(open_config(source, flags=flags, progress=options.download_bar(), runs_dir=runs_dir))
    else:
        config = open_recorded(source, progress=options.download_bar())
        made = batch_picture(config, load_learned(source.preprocessing()))
    return encoded(plot_batch(made.pictures, made.labels, made.columns, made.title), suffix)


def draw_forecast(
    what: Sequence[str], output: Path | None, runs_dir: Path, horizon: int | None, future: Path | None
) -> Path:
    """Draw the forecast of a run's series into a file (default: in the run folder); return its path."""
    if len(what) > 1:
        raise ConfigError("--forecast draws one run", hint=f"kerascli plot --forecast {what[0]}")
    record = options.trained_run(what[0], runs_dir, None)
    file = _file(output, reads=[] if future is None else [future])
    from kerascli.report import plots
    from kerascli.report.forecast_plot import plot_forecast
    from kerascli.workflow.forecasting.picture import forecast_picture

    opened = options.open_run(record)
    picture = forecast_picture(opened, horizon, future)
    options.warn(opened.warnings)
    if picture.note is not None:
        options.note(picture.note)
    figure = plot_forecast(picture.panels, record.folder_name, axis=picture.axis, truth=picture.truth)
    output = output or record.plot_path("forecast.png")
    write_bytes(file or output, plots.encoded(figure, output.suffix))
    return output


def draw(
    runs: Sequence["RunRecord"],
    output: Path | None,
    metrics: Sequence[str] | None = None,
    *,
    log_scale: bool = False,
    smooth: float = 0.0,
) -> Path:
    """Draw the training curves of runs into one file (default: in the run folder); return its path."""
    from kerascli.report import plots

    if output is None and len(runs) > 1:
        raise ConfigError("the plot of several runs needs a file name", hint="name the file: -o curves.png")
    file, output = _file(output), output or runs[0].plot_path("history.png")
    labelled = list(zip(_labels(runs), [run.history() for run in runs], strict=True))
    figure = plots.plot_history(labelled, metrics or None, log_scale=log_scale, smooth=smooth)
    write_bytes(file or output, plots.encoded(figure, output.suffix))
    return output


def _file(output: Path | None, suffixes: Sequence[str] | None = None, reads: Sequence[Path] = ()) -> Path | None:
    """Return the file to write for a plot's output path, if one is given. Raises ConfigError, StorageError."""
    from kerascli.report import plots
    from kerascli.workflow.outputs import writable

    if output is None:
        return None
    plots.check_suffix(output, suffixes or plots.SUFFIXES)
    return writable(output, output.suffix.lower(), reads=reads)


def _labels(runs: Sequence["RunRecord"]) -> list[str]:
    """Return the labels of runs in a plot's legend: the shortest names that distinguish the runs."""
    for names in ([run.name for run in runs], [run.folder_name for run in runs]):
        if len(runs) > 1 and len(set(names)) == len(runs):
            return names
    return [run.folder_name if len(runs) == 1 else str(run.path) for run in runs]
