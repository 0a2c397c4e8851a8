"""The command `kerascli why RUN [WHAT...]`: the columns, pixels, words or time steps that predictions depend on."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from kerascli.cli import options, program
from kerascli.cli.options import option

_Method = Literal["permutation", "integrated_gradients", "grad_cam", "occlusion"]
_METHODS = "permutation, integrated_gradients, grad_cam or occlusion; default: by the inputs."
_BASELINES = "Start of integrated gradients: a median row, or zeros (black, padding)."


@program.app.add("why latest test")
def why(
    run: options.Run,
    what: options.What = None,
    text: Annotated[list[str] | None, option("--text TEXT", "Explain this text; may be repeated.")] = None,
    method: Annotated[_Method | None, option("--method METHOD", _METHODS)] = None,
    rows: Annotated[int | None, option("--rows N", "Explain at most N rows, one by one; default: 20.", min=1)] = None,
    worst: Annotated[bool, option("--worst", "Explain the rows that evaluate --worst N --cells has kept.")] = False,
    output: Annotated[str | None, option("--output NAME", "Output to explain, if the model has several.")] = None,
    class_name: Annotated[str | None, option("--class NAME", "Class to explain; default: the predicted one.")] = None,
    baseline: Annotated[Literal["median", "zeros"] | None, option("--baseline median|zeros", _BASELINES)] = None,
    layer: Annotated[str | None, option("--layer NAME", "With grad_cam; default: the last convolution.")] = None,
    metric: Annotated[str | None, option("--metric NAME", "With permutation: loss (the default) or a metric.")] = None,
    file: Annotated[Path | None, option("-o FILE", "An .html, .csv or .png file.")] = None,
    checkpoint: options.Checkpoint = None,
    data: options.Data = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    runs_dir: options.RunsDir = options.RUNS_DIR,
    trust_plugins: options.TrustPlugins = False,
) -> None:
    """Show which columns, pixels, words or time steps a run's predictions depend on.

    Without WHAT the test split is explained or, if there is none, validation or train.
    """
    record = options.trained_run(run, runs_dir, checkpoint, trust_plugins)
    from kerascli.foundation.disk.storage import write_bytes
    from kerascli.report.reasons import reasons_file, reasons_text, with_reasons
    from kerascli.workflow.outputs import writable
    from kerascli.workflow.why.explain import Question, explain

    reads = [Path(each) for each in what or [] if each not in options.SPLITS]
    place = None if file is None else writable(file, run=record, reads=reads)
    opened = options.open_run(record, device=device, threads=threads, checkpoint=checkpoint, data=data)
    options.note(*opened.threshold_notes())
    question = Question(
        what or [], text or [], method, rows, output, class_name, baseline, layer, metric, worst, checkpoint, data,
        place and place.suffix.lower(),
    )  # fmt: skip
    reasons = explain(opened, question)
    options.warn(opened.warnings)
    maps = ["-o why.html or why.png draws the maps"] if place is None and reasons.kind == "picture" else []
    options.note(*reasons.notes, *maps)
    if place is not None:
        write_bytes(place, reasons_file(reasons, place.suffix.lower(), f"Why: {record.name}"))
    options.say(reasons_text(reasons, colored=sys.stdout.isatty()) if place is None else f"{file}\n")
    if reasons.evaluation is not None:
        from kerascli.cli.evaluate import keep_numbers

        facts, pictures = with_reasons(reasons)
        keep_numbers(record, facts, len(facts["worst"]), pictures)
