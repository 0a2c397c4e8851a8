"""The command `kerascli summary [CONFIG|RUN]`: the layers, shapes and parameters of a model."""

import dataclasses
from typing import Annotated

from kerascli.cli import complete, options, program
from kerascli.cli.options import argument, option


@program.app.add("summary churn.yaml")
def summary(
    what: Annotated[
        str | None, argument("CONFIG|RUN|APPLICATION", "A config, a run or a published network.", complete.models)
    ] = None,
    runs_dir: options.RunsDir = options.RUNS_DIR,
    sets: options.Sets = [],  # noqa: B006  # typer reads it once
    flags: options.Flags = [],  # noqa: B006
    expand: Annotated[bool, option("--expand", "Also show the layers inside shared models.")] = False,
    view: options.View = None,
    size: options.Size = None,
    as_json: options.Json = False,
    trust_plugins: options.TrustPlugins = False,
) -> None:
    """Print a model's layers, shapes and parameters; needs no data."""
    from kerascli.config.yaml.document import Document

    source = options.config_or_run(what, runs_dir, sets, flags, trust_plugins, size)
    if not isinstance(source, Document) and not as_json and not expand and view is None:
        options.say(source.summary())
        return
    from kerascli.report.summary import render
    from kerascli.workflow.check import summary_of

    model = summary_of(options.model_spec(source, flags, runs_dir), expand=expand, view=view)
    if as_json:
        options.say_json({**dataclasses.asdict(model), "total": model.total})
    else:
        options.say(render(model))
