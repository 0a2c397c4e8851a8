"""The command `kerascli export RUN`: write a run's model to a Keras, PyTorch or ONNX file."""

from pathlib import Path
from typing import Annotated

import typer

from kerascli.cli import options, program
from kerascli.cli.options import option
from kerascli.foundation.errors import ConfigError, one_of, safe_text, suggestion

_FORMATS = "keras, h5, safetensors, onnx, torch_export or state_dict; default: as FILE ends, else keras."
_PREPROCESSING = "onnx: take raw columns and return classes and units, as predict does; keras: take texts."


@program.app.add("export latest -o model.onnx")
def export(
    run: options.Run,
    kind: Annotated[str | None, option("--format FORMAT", _FORMATS)] = None,
    output: Annotated[Path | None, option("--output -o FILE", "Output file; default: named after the run.")] = None,
    preprocessing: Annotated[bool, option("--preprocessing", _PREPROCESSING)] = False,
    view: options.View = None,
    checkpoint: options.Checkpoint = None,
    runs_dir: options.RunsDir = options.RUNS_DIR,
    trust_plugins: options.TrustPlugins = False,
) -> None:
    """Export a run's model to a Keras, PyTorch or ONNX file."""
    record = options.trained_run(run, runs_dir, checkpoint, trust_plugins)
    from kerascli.foundation.disk.storage import size_text
    from kerascli.report.text_tables import tensor_table
    from kerascli.workflow.interchange.exporting import FORMATS, SUFFIXES, check_output, export_run
    from kerascli.workflow.outputs import writable

    ending = "" if output is None else output.suffix.lower()
    got = f"--format {safe_text(kind)}" if kind else f"-o {safe_text(str(output))}"
    kind = kind or FORMATS.get(ending) or ("onnx" if preprocessing else "keras")
    if preprocessing and kind not in {"onnx", "keras"}:
        raise ConfigError(f"--preprocessing: only onnx and keras hold preprocessing, got {got}")
    if kind not in SUFFIXES:
        near = suggestion(kind, SUFFIXES)
        raise ConfigError(f"--format: expected {one_of(list(SUFFIXES))}, got '{safe_text(kind)}'{near}")
    output = output or Path(f"{record.name}{f'-{view}' if view else ''}{SUFFIXES[kind]}")
    check_output(output, kind)
    writable(output, run=record)
    exported = export_run(record, kind, output, view=view, checkpoint=checkpoint, preprocessing=preprocessing)
    options.note(*exported.notes)
    same = "not compared" if kind == "onnx" else "every weight read back"
    if exported.difference is not None:
        same = f"largest difference {exported.difference:.2g}"
    typer.echo(f"file  {safe_text(str(output))}  ({size_text(len(exported.data))}, {same})")
    typer.echo(tensor_table(*exported.tensors))
