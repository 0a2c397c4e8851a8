"""All commands of `kerascli` as one typer program."""

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from kerascli import __version__
from kerascli.cli import (
    evaluate,
    export,
    generate,
    import_model,
    init,
    options,
    plot,
    predict,
    reference,
    report,
    runs,
    samples,
    studies,
    summary,
    train,
    tune,
    validate,
    watch,
    why,
)
from kerascli.cli.process_group import refuse_several
from kerascli.foundation.disk.storage import reported
from kerascli.foundation.user_code import exits_as_errors

_HELP = "Deep learning described, not programmed: train a PyTorch model from one YAML file in Keras's vocabulary."


class Program(options.OnceGroup):
    """Typer group of all commands; when the reader of stdout has gone (`| head`), they end silently, as by SIGPIPE."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with _unread():  # --help and --version print here
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        gc.enable()
        with _unread(), exits_as_errors(), options.opened_archives:
            result = super().invoke(ctx)
            sys.stdout.flush()
        return result


@contextlib.contextmanager
def _unread() -> Iterator[None]:
    """Context manager that exits with SIGPIPE's exit code if the reader of stdout has gone; click would exit with the
    code of a bug."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # buffered output is flushed to /dev/null
        raise SystemExit(128 + getattr(signal, "SIGPIPE", 13)) from None


app = options.Commands(
    cls=Program,
    help=_HELP,
    epilog="Begin with your data: kerascli init churn.yaml --from churn.csv",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["--help", "-h"]},
    pretty_exceptions_enable=False,
    add_completion=True,
)

app.add({
    train.train: "train churn.yaml --set fit.epochs=20",
    tune.tune: "tune churn.yaml --workers 2",
    evaluate.evaluate: "evaluate latest test --by city",
    predict.predict: "predict latest new.csv -o predictions.csv",
    why.why: "why latest test",
    generate.generate: "generate latest --prompt 'Once upon a time'",
    samples.samples: "samples latest -o pictures",
    import_model.import_command: "import model.keras",
    export.export: "export latest -o model.onnx",
    summary.summary: "summary churn.yaml",
    plot.plot: "plot latest -o metrics.png",
    report.report: "report latest -o report.html",
    watch.watch: "watch",
    validate.validate: "validate churn.yaml",
    init.init_command: "init churn.yaml --from churn.csv --target churned",
    reference.list_command: "list layers",
    reference.explain_command: "explain conv_2d",
    reference.schema_command: "schema -o kerascli.schema.json",
})  # fmt: skip
runs.register(app)
studies.register(app)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"kerascli {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Options of the program that are written before the command, such as `--version`."""
    with reported("use the current folder", Path()):
        os.getcwd()  # without one torch ends the process while it is loaded
    refuse_several(context.invoked_subcommand)
