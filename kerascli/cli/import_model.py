"""The command `kerascli import MODEL`: make a run from a model saved by Keras (.keras, .h5), or a network."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kerascli.cli import options, program
from kerascli.cli.options import argument, option
from kerascli.foundation.errors import ConfigError, counted, safe_text

if TYPE_CHECKING:
    from kerascli.config.composition.applications import Application
    from kerascli.runs.record import RunRecord

_MODEL = "A .keras or .h5 file, an architecture as .json, or a network such as mobilenet_v2."
_DATA = "A config with data and fit for further training, or with views."
_CONFIG = "Load MODEL, a file of weights, into this config's model."


@program.app.add("import model.keras")
def import_command(
    model: Annotated[Path, argument("MODEL", _MODEL)],
    name: Annotated[str | None, option("--name NAME", "Name of the run; default: the file's or network's.")] = None,
    data: Annotated[Path | None, option("--data CONFIG", _DATA)] = None,
    no_compile: Annotated[bool, option("--no-compile", "Do not import the loss, metrics and optimizer.")] = False,
    config: Annotated[Path | None, option("--config CONFIG", _CONFIG)] = None,
    by_name: Annotated[bool, option("--by-name", "With --config: load layers whose names match.")] = False,
    weights: Annotated[Path | None, option("--weights FILE", "Of a network: its weights; default: Keras's.")] = None,
    size: Annotated[int | None, option("--size N", "Of a network: height and width of the images.", min=1)] = None,
    runs_dir: options.RunsDir = options.RUNS_DIR,
) -> None:
    """Import a model saved by Keras, or a published network, as a run.

    The run can predict, be evaluated and be trained further.
    """
    is_file = bool(model.suffix) or model.exists()
    other = "--data" if data is not None else "--no-compile" if no_compile else None
    if by_name and config is None:
        raise ConfigError("--by-name needs --config: layers are matched by name only with the model of a config")
    if config is not None and other is not None:
        text = f"--config and {other} cannot be given together: with --config only weights are read from the file"
        raise ConfigError(text)
    if is_file:
        options.refuse({"--weights": weights, "--size": size}, "goes with a network")
    else:
        options.refuse({"--data": data, "--config": config, "--no-compile": no_compile}, "goes with a file")
    from kerascli.report.text_tables import tensor_table
    from kerascli.workflow.interchange.importing import import_model, import_weights
    from kerascli.workflow.interchange.networks import import_application

    command = sys.argv[1:]
    if not is_file:
        imported = import_application(
            network_named(str(model)), weights="imagenet" if weights is None else str(weights), size=size,
            runs_dir=runs_dir, name=name, progress=options.download_bar(), command=command,
        )  # fmt: skip
    elif config is not None:
        imported = import_weights(model, config, runs_dir=runs_dir, name=name, by_name=by_name, command=command)
    else:
        imported = import_model(
            model, runs_dir=runs_dir, name=name, data=data, compiled=not no_compile, command=command
        )
    options.note(*imported.notes)
    typer.echo(tensor_table(*imported.tensors))
    typer.echo(f"run   {safe_text(str(imported.record.path))}  ({counted(imported.parameters, 'parameter')})")
    options.note(f"next: {_next_command(imported.record)}")


def network_named(name: str) -> "Application":
    """Return the published network of this name. Raises ConfigError."""
    from kerascli.config.composition.applications import find_application
    from kerascli.language.component import Invalid

    try:
        return find_application(name)
    except Invalid as invalid:
        raise ConfigError(invalid.faults[0]) from None


def _next_command(record: "RunRecord") -> str:
    """Return the command that an imported run can be used with: `train` if it has data and a loss, else `predict`."""
    path = shlex.quote(str(record.path))
    if "application" in record.facts()["imported"]:
        return f"kerascli predict {path} photo.jpg --decode imagenet"
    if record.facts()["data"] and record.checkpoints.steps():
        return f"kerascli train {path}"
    return f"kerascli predict {path} {'rows.csv' if record.preprocessing() else 'inputs.npz'}"
