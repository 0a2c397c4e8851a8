"""The command `kerascli why RUN [WHAT...]`: the columns, pixels, words or time steps that predictions depend on."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from kerascli.cli import options
from kerascli.cli.options import option
from kerascli.foundation.errors import ConfigError, one_of

if TYPE_CHECKING:
    from kerascli.report.reasons import Reasons

Method = Annotated[
    Literal["permutation", "integrated_gradients", "grad_cam", "occlusion"] | None,
    option("--method METHOD", "permutation, integrated_gradients, grad_cam or occlusion; default: by the inputs."),
]


def why(
    run: options.Run,
    what: options.What = None,
    text: Annotated[list[str] | None, option("--text TEXT", "Explain this text; may be repeated.")] = None,
    method: Method = None,
    rows: Annotated[int | None, option("--rows N", "Explain at most N rows, one by one; default: 20.", min=1)] = None,
    output: Annotated[str | None, option("--output NAME", "Output to explain, if the model has several.")] = None,
    class_name: Annotated[str | None, option("--class NAME", "Class to explain; default: the predicted one.")] = None,
    baseline: Annotated[
        Literal["median", "zeros"] | None,
        option("--baseline median|zeros", "Start of integrated gradients: a median row, or zeros (black, padding)."),
    ] = None,
    layer: Annotated[
        str | None, option("--layer NAME", "With grad_cam: the layer; default: the last convolution.")
    ] = None,
    metric: Annotated[str | None, option("--metric NAME", "With permutation: loss (the default) or a metric.")] = None,
    repeats: Annotated[int | None, option("--repeats N", "With permutation: shuffles of a column.", min=1)] = None,
    file: Annotated[Path | None, option("-o FILE", "An .html, .csv, .png, .svg or .pdf file.")] = None,
    checkpoint: options.Checkpoint = None,
    data: options.Data = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    runs_dir: options.RunsDir = options.RUNS_DIR,
) -> None:
    """Show which columns, pixels, words or time steps a run's predictions depend on.

    Without WHAT the test split is explained or, if there is none, validation or train.
    """
    what, texts = what or [], text or []
    record = options.trained_run(run, runs_dir, checkpoint)
    place = None if file is None else _place(file)
    from kerascli.report.reasons import reasons_text
    from kerascli.workflow.loaded import open_run
    from kerascli.workflow.why.explain import explain
    from kerascli.workflow.why.question import Question

    opened = open_run(
        record, device=device, threads=threads, checkpoint=checkpoint, progress=options.download_bar(), data=data
    )
    question = Question(what, texts, method, rows, output, class_name, baseline, layer, metric, repeats)
    reasons = explain(opened, question)
    options.warn(opened.warnings)
    for note in reasons.notes:
        options.note(note)
    if file is None or place is None:
        options.say(reasons_text(reasons, colored=sys.stdout.isatty()))
        return
    from kerascli.foundation.disk.storage import write_bytes

    write_bytes(place, _content(reasons, file.suffix.lower(), f"Why: {record.name}"))
    options.say(f"{file}\n")


def _content(reasons: "Reasons", kind: str, title: str) -> bytes:
    """Return the bytes of a file of reasons, whose suffix is `kind`."""
    from kerascli.report.plots import encoded
    from kerascli.report.reasons import reasons_csv, reasons_figure, reasons_html

    if kind == ".html":
        return reasons_html(reasons, title).encode()
    if kind == ".csv":
        return reasons_csv(reasons).encode()
    return encoded(reasons_figure(reasons), kind)


def _place(file: Path) -> Path:
    """Return the path of the file to write, if it may be written. Raises ConfigError, StorageError."""
    from kerascli.report.reasons import FORMATS
    from kerascli.workflow.outputs import writable

    if file.suffix.lower() not in FORMATS:
        raise ConfigError(f"-o {file}: expected a name that ends in {one_of(FORMATS)}")
    return writable(file, file.suffix.lower())
