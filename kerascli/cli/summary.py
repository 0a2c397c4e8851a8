"""The command `kerascli summary [CONFIG|RUN]`: the layers, shapes and parameters of a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kerascli.cli import complete, options
from kerascli.config.yaml.document import Document

if TYPE_CHECKING:
    from kerascli.model.runtime.summary import Summary


def register(app: typer.Typer) -> None:
    app.command("summary")(summary_command)


def summary_command(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="CONFIG|RUN",
            help="A config file, or a run: latest, a name, a path.",
            autocompletion=complete.configs_or_runs,
        ),
    ] = None,
    runs_dir: options.RunsDir = options.RUNS_DIR,
    sets: options.Sets = [],  # noqa: B006  # typer reads it once
    flags: options.Flags = [],  # noqa: B006
    expand: Annotated[bool, typer.Option("--expand", help="Also show the layers inside shared models.")] = False,
    view: options.View = None,
    as_json: options.Json = False,
) -> None:
    """Print a model's layers, shapes and parameters; needs no data."""
    options.say(summary(what, runs_dir=runs_dir, sets=sets, flags=flags, expand=expand, view=view, as_json=as_json))


def summary(
    what: str | None,
    *,
    runs_dir: Path,
    sets: list[str],
    flags: list[str],
    expand: bool = False,
    view: str | None = None,
    as_json: bool = False,
) -> str:
    """Return the summary table (layers, shapes, parameters) of a config's or run's model as text, or as JSON.

    `what` is a config if it is a file or ends in .yaml or .yml, else a run.
    """
    found = options.config_or_run(what, runs_dir, sets, flags)
    is_config = isinstance(found, Document)
    if not is_config and not as_json and not expand and view is None:
        return found.summary()
    from kerascli.workflow.check import spec_of, spec_of_run, summary_of

    spec = spec_of(found, sets=(), flags=flags, progress=options.download_bar()) if is_config else spec_of_run(found)
    return _shown(summary_of(spec, expand=expand, view=view), as_json=as_json)


def _shown(found: "Summary", *, as_json: bool) -> str:
    import dataclasses

    from kerascli.foundation.disk.storage import json_text
    from kerascli.report.summary import render

    return json_text({**dataclasses.asdict(found), "total": found.total}, ascii_only=True) if as_json else render(found)
