"""The command `kerascli summary [CONFIG|RUN]`: the layers, shapes and parameters of a model."""

import dataclasses
from pathlib import Path
from typing import Annotated

from kerascli.cli import options
from kerascli.cli.options import option
from kerascli.config.yaml.document import Document


def summary(
    what: options.ConfigOrRun = None,
    runs_dir: options.RunsDir = options.RUNS_DIR,
    sets: options.Sets = [],  # noqa: B006  # typer reads it once
    flags: options.Flags = [],  # noqa: B006
    expand: Annotated[bool, option("--expand", "Also show the layers inside shared models.")] = False,
    view: options.View = None,
    as_json: options.Json = False,
) -> None:
    """Print a model's layers, shapes and parameters; needs no data."""
    options.say(summary_text(what, runs_dir, sets, flags, expand=expand, view=view, as_json=as_json))


def summary_text(
    what: str | None, runs_dir: Path, sets: list[str], flags: list[str], *,
    expand: bool = False, view: str | None = None, as_json: bool = False,
) -> str:  # fmt: skip
    """Return the summary table (layers, shapes, parameters) of a config's or run's model as text, or as JSON.

    `what` is a config if it is a file or ends in .yaml or .yml, else a run.
    """
    source = options.config_or_run(what, runs_dir, sets, flags)
    if not isinstance(source, Document) and not as_json and not expand and view is None:
        return source.summary()
    from kerascli.foundation.disk.storage import json_text
    from kerascli.report.summary import render
    from kerascli.workflow.check import summary_of

    model = summary_of(options.model_spec(source, flags), expand=expand, view=view)
    return json_text({**dataclasses.asdict(model), "total": model.total}, ascii_only=True) if as_json else render(model)
