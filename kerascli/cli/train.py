"""kerascli train CONFIG"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kerascli.cli import options

if TYPE_CHECKING:
    from kerascli.events import Event


def register(app: typer.Typer) -> None:
    app.command("train")(train_command)


def train_command(
    config: Annotated[Path | None, typer.Argument(help="The config; default: the only one in this folder.")] = None,
    device: options.Device = "auto",
    name: Annotated[str | None, typer.Option(help="Part of the run folder's name; default: the config's.")] = None,
    runs_dir: options.RunsDir = Path("runs"),
    sets: options.Sets = [],  # noqa: B006  # typer reads it once
    flags: options.Flags = [],  # noqa: B006
    resume: Annotated[str | None, typer.Option(help="Go on with a run: latest, a name, a prefix or a path.")] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Two steps of everything in a temporary run, for CI.")] = False,
    as_json: options.Json = False,
) -> None:
    """Train the model that a config describes; or go on with a run."""
    if smoke:
        smoke_test(options.config_or_only(config), sets=sets, flags=flags, device=device)
        return
    train(config, device=device, name=name, runs_dir=runs_dir, sets=sets, flags=flags, resume=resume, as_json=as_json)


def train(
    config: Path | None,
    *,
    device: str = "auto",
    name: str | None = None,
    runs_dir: Path = Path("runs"),
    sets: list[str] | None = None,
    flags: list[str] | None = None,
    resume: str | None = None,
    as_json: bool = False,
) -> None:
    """Run the training and show it; results go to stdout, everything else to stderr."""
    from kerascli.errors import ConfigError
    from kerascli.report.console import TrainingView

    if resume is not None and config is not None:
        raise ConfigError("give either a config or --resume, not both", hint="a run has its own config")
    if resume is not None and (flags or name):
        raise ConfigError(f"{'--flag' if flags else '--name'} cannot go with --resume: a run keeps its settings")
    view = TrainingView(sys.stderr, quiet=as_json)
    try:
        events = _events(config, device, name, runs_dir, sets or [], flags or [], resume)
        _show(events, view, as_json=as_json)
    finally:
        view.close()


def _events(
    config: Path | None,
    device: str,
    name: str | None,
    runs_dir: Path,
    sets: list[str],
    flags: list[str],
    resume: str | None,
) -> "Iterator[Event]":
    path = None if resume is not None else options.config_or_only(config)
    if path is not None:
        options.refuse_bad_text(path, sets, flags)
    from kerascli.runs.index import find_run
    from kerascli.spec.load import open_config
    from kerascli.workflow import train as work

    chosen = work.Options(runs_dir=runs_dir, device=device, name=name, command=sys.argv[1:])
    progress = options.download_bar()
    if path is None:
        assert resume is not None
        return work.resume(find_run(resume, runs_dir), chosen, sets, progress=progress)
    return work.start(open_config(path, sets=sets, flags=flags, progress=progress), chosen)


def _show(events: "Iterator[Event]", view: object, *, as_json: bool) -> None:
    import json

    from kerascli.events import Began, Evaluated
    from kerascli.report.console import TrainingView, figures

    assert isinstance(view, TrainingView)
    run, results = "", {}
    for event in events:
        view.show(event)
        if isinstance(event, Began):
            run = event.run
        if isinstance(event, Evaluated):
            results[event.split] = dict(event.logs)
    if as_json:
        typer.echo(json.dumps({"run": run, "results": results}))
        return
    for split, logs in results.items():
        typer.echo(f"{split}  {figures(logs)}")
    typer.echo(f"run   {run}")


def smoke_test(config: Path, *, sets: list[str], flags: list[str], device: str = "auto") -> None:
    """Two steps of everything that a run can do, in a temporary folder."""
    from kerascli.workflow.smoke import smoke

    for line in smoke(config, sets=sets, flags=flags, device=device):
        typer.echo(line, err=True)
    typer.echo(f"smoke test passed: {config}")
