"""The command `kerascli plot`: the training curves of runs, a model, a training batch, or a forecast of a series."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from kerascli.cli import complete, options, program
from kerascli.cli.options import argument, option
from kerascli.foundation.disk.storage import write_bytes
from kerascli.foundation.errors import ConfigError
from kerascli.runs.reading import LATEST, quoted

if TYPE_CHECKING:
    from kerascli.config.yaml.document import Document
    from kerascli.runs.record import RunRecord

    Source = Document | RunRecord

_RUNS = "Default: the latest run. With --model, --data: a run or config."
_ABOUT = {
    "": ("--metric", "--log", "--smooth"), "--model": ("--expand", "--view", "--size", "--set", "--flag"),
    "--data": ("--set", "--flag"), "--forecast": (),
}  # fmt: skip
"""Options of each kind of plot: of the curves of runs and, by the option that asks for it, of the others."""


@program.app.add("plot latest -o metrics.png")
def plot(
    runs: Annotated[list[str] | None, argument("RUN", _RUNS, complete.models)] = None,
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
    view: options.View = None,
    size: options.Size = None,
    sets: options.Sets = [],  # noqa: B006  # typer reads it once
    flags: options.Flags = [],  # noqa: B006
    runs_dir: options.RunsDir = options.RUNS_DIR,
) -> None:
    """Plot the metrics of runs; with --model the diagram of a model, with --data a training batch, with --forecast the
    forecast of a series."""
    values = {"--metric": metric, "--log": log, "--smooth": smooth, "--expand": expand, "--view": view, "--set": sets,
              "--flag": flags, "--size": size}  # fmt: skip
    kind = _kind({"--forecast": forecast, "--model": model, "--data": data}, values)
    names = runs or []
    if kind and len(names) > 1:
        what = "run" if forecast else "config or run"
        raise ConfigError(f"{kind} draws one {what}", hint=f"kerascli plot {kind} {names[0]}")
    file = None if output is None else _writable(output, model=model)
    if forecast:
        shown, image = _forecast(names or [LATEST], output, runs_dir)
    elif kind:
        source = options.config_or_run(next(iter(names), None), runs_dir, sets, flags, None, size)
        shown = output or _default(source, f"{kind[2:]}{'' if view is None else f'-{view}'}.png")
        drawn = partial(_model, expand=expand, view=view) if model else _batch
        image = drawn(source, shown.suffix, flags, runs_dir)
    else:
        shown, image = _curves(names or [LATEST], output, runs_dir, metric, log_scale=log, smooth=smooth)
    write_bytes(file or shown, image)
    options.say(f"{shown}\n")


def _kind(kinds: Mapping[str, bool], values: Mapping[str, object]) -> str:
    """Return the option that asks for a kind of plot, '' for curves. Raises ConfigError for an option without effect on
    that kind."""
    kind = next((name for name, is_chosen in kinds.items() if is_chosen), "")
    idle = [*(name for name in kinds if name != kind), *(_ABOUT[""] if kind else ())]
    options.refuse({**kinds, **values}, f"cannot be used with {kind}", idle)
    for other, names in _ABOUT.items():
        options.refuse(values, f"can only be used with {other}", [name for name in names if name not in _ABOUT[kind]])
    return kind


def _writable(output: Path, *, model: bool) -> Path:
    """Return the file to write for a plot's output path. Raises ConfigError, StorageError."""
    from kerascli.report import plots
    from kerascli.report.architecture.drawing import SUFFIXES
    from kerascli.workflow.outputs import writable

    plots.check_suffix(output, SUFFIXES if model else plots.SUFFIXES)
    return writable(output)


def _default(source: "Source", name: str) -> Path:
    """Return the path of a plot in the run's folder, or of a config's plot in the current one."""
    from kerascli.config.yaml.document import Document

    return Path(f"{Path(source.name).stem}-{name}") if isinstance(source, Document) else source.plot_path(name)


def _named_runs(names: Sequence[str], runs_dir: Path) -> "tuple[list[RunRecord], list[str] | None, Path | None]":
    """Return the runs to plot, and for a study, which stands for all its runs, the metrics and the file by default."""
    study = options.study_of(names[0], runs_dir) if len(names) == 1 else None
    if study is None:
        return [options.find_run(name, runs_dir) for name in names], None, None
    runs: list[RunRecord] = [run for member in study.members() if (run := member.runs[-1]).rows()]
    if not runs:
        raise ConfigError(f"no run of {quoted(study.path)} has an epoch to plot")
    objectives = None if study.facts.tune is None else [each.name for each in study.tune.objective]
    return runs, objectives, study.path / "curves.png"


def _model(
    source: "Source", suffix: str, flags: Sequence[str], runs_dir: Path, *, expand: bool, view: str | None
) -> bytes:
    """Return the diagram of a config's or run's model as a file."""
    from kerascli.report.architecture.drawing import encoded_model
    from kerascli.workflow.check import graphs_of

    name, graph, updates = graphs_of(options.model_spec(source, flags, runs_dir), view)
    return encoded_model(graph, name, suffix, updates, expand)


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


def _forecast(names: Sequence[str], output: Path | None, runs_dir: Path) -> tuple[Path, bytes]:
    """Return (file, by default in the run folder; picture) of the forecast of a run's series."""
    record = options.trained_run(names[0], runs_dir, None)
    from kerascli.report import plots
    from kerascli.report.forecast_plot import plot_forecast
    from kerascli.workflow.forecasting.picture import forecast_picture

    opened = options.open_run(record)
    picture = forecast_picture(opened)
    options.warn(opened.warnings)
    if picture.note is not None:
        options.note(picture.note)
    figure = plot_forecast(picture.panels, record.folder_name, axis=picture.axis, truth=picture.truth)
    file = output or record.plot_path("forecast.png")
    return file, plots.encoded(figure, file.suffix)


def _curves(
    names: Sequence[str], output: Path | None, runs_dir: Path, metrics: Sequence[str] | None, **look: Any
) -> tuple[Path, bytes]:
    """Return (file, by default in the folder of the run or study, of several runs in the current one; picture) of the
    training curves of runs."""
    from kerascli.report import plots

    runs, objectives, default = _named_runs(names, runs_dir)
    file = output or default or (Path("curves.png") if len(runs) > 1 else runs[0].plot_path("history.png"))
    labelled = list(zip(_labels(runs), [run.history() for run in runs], strict=True))
    return file, plots.encoded(plots.plot_history(labelled, metrics or objectives, **look), file.suffix)


def _labels(runs: Sequence["RunRecord"]) -> list[str]:
    """Return the labels of runs in a plot's legend: the shortest names that distinguish the runs, or their paths below
    the folder that they have in common."""
    for names in ([run.name for run in runs], [run.folder_name for run in runs]):
        if len(runs) > 1 and len(set(names)) == len(runs):
            return names
    paths = [run.path.absolute() for run in runs]
    return [os.path.relpath(path, os.path.commonpath(paths)) for path in paths] if len(runs) > 1 else names
