"""kerascli summary CONFIG|RUN"""

from pathlib import Path
from typing import Annotated

import typer

from kerascli.cli import options


def register(app: typer.Typer) -> None:
    app.command("summary")(summary_command)


def summary_command(
    what: Annotated[str | None, typer.Argument(metavar="[CONFIG|RUN]", help="A config, or a run: latest, a name.")] = None,
    runs_dir: options.RunsDir = Path("runs"),
    sets: options.Sets = [],  # noqa: B006  # typer reads it once
    flags: options.Flags = [],  # noqa: B006
    as_json: options.Json = False,
) -> None:
    """Print a model's layers, output shapes and parameters; no data is needed."""
    typer.echo(summary(what, runs_dir=runs_dir, sets=sets, flags=flags, as_json=as_json).rstrip())


def summary(what: str | None, *, runs_dir: Path, sets: list[str], flags: list[str], as_json: bool = False) -> str:
    """The table of a config or a run, or the same facts as JSON."""
    import dataclasses
    import json

    path = _config_path(what, runs_dir)
    options.refuse_bad_text(path, sets, flags)
    from kerascli.report.summary import render
    from kerascli.workflow.check import summary_of

    found = summary_of(path, sets=sets, flags=flags)
    if as_json:
        return json.dumps({**dataclasses.asdict(found), "total": found.total})
    return render(found)


def _config_path(what: str | None, runs_dir: Path) -> Path:
    """A file is a config; anything else names a run, whose complete config is taken."""
    if what is None:
        return options.config_or_only(None)
    path = Path(what)
    if path.is_file() or path.suffix in {".yaml", ".yml"}:
        return path
    from kerascli.runs.index import find_run

    return find_run(what, runs_dir).resolved_path
