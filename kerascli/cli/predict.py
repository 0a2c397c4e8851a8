"""The command `kerascli predict RUN WHAT...`: classes or values for the rows of files, a split, or texts."""

import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from kerascli.cli import options, program
from kerascli.cli.options import option
from kerascli.cli.process_group import TIMEOUT, dealing, launch_processes
from kerascli.foundation.errors import ConfigError, DataError, Fault, one_of
from kerascli.foundation.world import world_of

if TYPE_CHECKING:
    from kerascli.report.predictions import Predictions
    from kerascli.runs.record import RunRecord
    from kerascli.workflow.loaded import LoadedRun
    from kerascli.workflow.predict import Form

Keep = Annotated[
    list[str] | None, option("--keep COLUMN", "Copy a raw column into the output; may be given several times.")
]
Output = Annotated[
    Path | None, option("--output -o FILE", "A .csv, .jsonl, .parquet, .npy or .npz file; default: stdout.")
]
_BAD_ROWS = "Rows that cannot be used: stop, or go on with empty rows in the output."
OnBadRows = Annotated[Literal["error", "skip"], option("--on-bad-rows error|skip", _BAD_ROWS)]
Decode = Annotated[
    Literal["imagenet"] | None, option("--decode imagenet", "Of 1,000 classes: the names of the five most probable.")
]
_OF_TABLES = ("--classes", "--threshold", "--decode")
"""Options with an effect on tables, not on arrays of outputs."""
Stream = Annotated[bool, option("--stream", "Predict each row of standard input as it comes; skip bad rows.")]
_OF_FOLDS = "cannot be used with a study of folds, whose mean is predicted: name a run, such as {}/fold-1"


@program.app.add("predict latest new.csv -o predictions.csv")
def predict(
    run: options.Run,
    what: options.What = None,
    text: Annotated[list[str] | None, option("--text TEXT", "Predict this text; may be repeated.")] = None,
    horizon: options.Horizon = None,
    future: options.Future = None,
    keep: Keep = None,
    output: Output = None,
    classes: Annotated[bool, option("--classes", "Only the predicted class of each row.")] = False,
    threshold: options.Threshold = None,
    raw: Annotated[bool, option("--raw", "Do not undo the transforms of targets.")] = False,
    decode: Decode = None,
    keras_names: Annotated[bool, option("--keras-names", "Use the output names of the imported Keras file.")] = False,
    stream: Stream = False,
    on_bad_rows: OnBadRows = "error",
    as_json: Annotated[bool, option("--json", "Print an object a row (JSON Lines).")] = False,
    view: options.View = None,
    checkpoint: options.Checkpoint = None,
    data: options.Data = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    runs_dir: options.RunsDir = options.RUNS_DIR,
    processes: options.Processes = None,
    timeout: options.Timeout = TIMEOUT,
    trust_plugins: options.TrustPlugins = False,
) -> None:
    """Predict classes or values for rows: of files, a split, or texts; or the next rows of a series."""
    what, text, keep, skip = what or [], text or [], keep or [], on_bad_rows == "skip"
    other_options = {"--text": text, "--stream": stream, "--classes": classes, "--threshold": threshold is not None,
              "--decode": decode, "--keras-names": keras_names, "--view": view, "--on-bad-rows": skip}  # fmt: skip
    alone = {"--stream answers row by row": stream, "- is standard input, which is read once": "-" in what,
             "--horizon computes a row from the predictions before it": horizon is not None}  # fmt: skip
    with dealing(device, timeout) as members:
        _check_rows(what, text, stream=stream, output=output, skip=skip)
        _check_horizon(what, horizon, future, other_options)
        arrays = _check_output(output, other_options, keep=keep, as_json=as_json)
        options.refuse_idle_data(data, what or ["-"])
        launch_processes(processes, timeout, alone=alone)
        records = _trained_runs(run, runs_dir, checkpoint, trust_plugins)
        _check_place(output, records[0], [*what, *([] if future is None else [str(future)])])
        from kerascli.workflow.predict import Form, predict_in_parts, predict_mean

        form = Form(keras_names=keras_names, decode=decode is not None, raw=raw)
        idle = {"--stream": stream, "--horizon": horizon, "--raw": raw, "--on-bad-rows": skip, "arrays": arrays,
                "this WHAT": {*what} & {"train", "validation", "-"}, "--processes": members}  # fmt: skip
        options.refuse(idle, _OF_FOLDS.format(run), None if len(records) > 1 else ())
        opened = partial(_opened, view=view, threshold=threshold, arrays=arrays, alone=len(records) == 1, device=device,
                         threads=threads, checkpoint=checkpoint, data=data, group=members)  # fmt: skip
        if stream:
            return _stream(opened(records[0]), form, keep, classes=classes, as_json=as_json)
        if horizon is None:
            predicted = partial(predict_in_parts, what=what, texts=text, form=form, skip=skip, keep=keep)
        else:
            predicted = partial(_forecast, what=what[0], horizon=horizon, future=future, raw=raw, keep=keep)
        runs, warnings = map(opened, records), list[Fault]()
        parts = (_with_warnings(run, predicted(run), warnings) for run in runs)
        _show(next(parts) if len(records) == 1 else [predict_mean(parts)], output, keep, classes, as_json)
    if world_of().leads:
        options.warn(warnings)


def _forecast(run: "LoadedRun", **asked: Any) -> "Iterator[Predictions]":
    from kerascli.workflow.forecasting.forecast import forecast_run

    yield forecast_run(run, **asked)


def _with_warnings(
    run: "LoadedRun", parts: "Iterable[Predictions]", warnings: "list[Fault]"
) -> "Iterator[Predictions]":
    """Yield predictions of a run; at their end add its warnings to those of other runs."""
    yield from parts
    warnings += [fault for fault in run.warnings if fault not in warnings]


def _trained_runs(selector: str, runs_dir: Path, checkpoint: str | None, trust: bool | None) -> "list[RunRecord]":
    """Return the run with this name, whose weights can be used; of a study those of all folds, or of the best trial.

    Raises ConfigError, also if a fold has no run yet.
    """
    study = options.study_of(selector, runs_dir)
    runs = [] if study is None else study.runs()
    if study is not None and study.facts.tune is None and len(runs) < study.facts.trials:
        text = f"only {len(runs)} of {study.facts.trials} folds of '{study.path}' have runs"
        raise ConfigError(text, hint=f"go on with it: kerascli train --resume {shlex.quote(str(study.path))}")
    if len(runs) > 1:
        options.note(f"the mean of {len(runs)} runs: {runs[0].path.parent.parent}")
    names = [str(run.path) for run in runs] if len(runs) > 1 else [selector]
    return [options.trained_run(name, runs_dir, checkpoint, trust) for name in names]


def _opened(
    record: "RunRecord", *, view: str | None, threshold: float | None, arrays: bool, alone: bool, **opening: Any
) -> "LoadedRun":
    """Load a run, or its view, for predictions, labelled by the option --threshold or else by the kept threshold;
    arrays of outputs have no labels, and those of the mean of runs (not `alone`) are by no kept threshold."""
    from kerascli.workflow.evaluation.choose_threshold import Rule, label_by

    run = options.open_run(record, whole=view is not None, **opening)
    run = run if view is None else run.view(view)
    if threshold is not None:
        label_by(run, Rule("--threshold", threshold))
    elif arrays or not alone:
        if run.thresholds and not alone:
            options.note(f"{record.path}: its kept threshold is not used for the mean")
        run.thresholds = dict.fromkeys(run.thresholds)
    options.note(*run.threshold_notes())
    return run


def _show(parts: "Iterable[Predictions]", output: Path | None, keep: list[str], classes: bool, as_json: bool) -> None:
    """Write predictions to the output file, or print them as CSV or JSON lines, part by part."""
    from kerascli.report.predictions import csv_text, json_lines, write_predictions

    rows = bad = 0

    def counted() -> "Iterator[Predictions]":
        nonlocal rows, bad
        for part in parts:
            rows, bad = rows + part.rows, bad + part.non_finite_rows
            yield part

    if output is not None and world_of().leads:
        write_predictions(output, counted(), keep, classes=classes)
        options.note(f"{rows:,} rows: {output}")
    else:
        for part in counted():  # a process that does not print computes its share, and gets no parts
            columns = part.table(classes=classes)
            options.say(json_lines(columns) if as_json else csv_text(columns, header=rows == part.rows))
    if bad:
        options.note(f"warning: {bad:,} rows have an output that is nan or infinite")


def _check_rows(what: list[str], text: list[str], *, stream: bool, output: Path | None, skip: bool) -> None:
    """Raise ConfigError if the command `predict` names no rows to predict, or arguments that cannot be combined."""
    if stream and (what != ["-"] or text or output is not None):
        raise ConfigError("--stream reads standard input and writes standard output", hint="predict RUN - --stream")
    options.refuse({"--on-bad-rows": stream and skip}, "skip: --stream skips bad rows itself")
    if not what and not text:
        hint = "a file, a folder, a split (test), - for standard input, or --text TEXT"
        raise ConfigError("what to predict is missing", hint=hint)


def _check_horizon(what: list[str], horizon: int | None, future: Path | None, other_options: dict[str, object]) -> None:
    """Raise ConfigError if an option cannot be combined with --horizon (a forecast), or requires it."""
    if horizon is None:
        if future is not None:
            raise ConfigError("--future goes with --horizon", hint="predict RUN series.csv --horizon 12 --future FILE")
        return
    options.refuse(other_options, "cannot be used with --horizon")
    if len(what) != 1 or what[0] in options.SPLITS:
        raise ConfigError("--horizon continues the rows of one file", hint="give its path, or - for standard input")


def _stream(run: "LoadedRun", form: "Form", keep: list[str], *, classes: bool, as_json: bool) -> None:
    """Print the prediction for each row of standard input as it arrives. Raises DataError at the end if rows failed."""
    from kerascli.report.predictions import csv_text, json_lines
    from kerascli.workflow.stream import arriving_lines, predict_stream

    options.warn(run.warnings)
    rows, bad, printed = 0, 0, len(run.warnings)
    for answer in predict_stream(run, arriving_lines(sys.stdin.buffer), form, keep):
        if isinstance(answer, DataError):
            bad += 1
            options.warn(answer.faults)
            continue
        columns = answer.table(classes=classes)
        options.say(json_lines(columns) if as_json else csv_text(columns, header=not rows))
        sys.stdout.flush()
        rows += answer.rows
    options.warn(run.warnings[printed:])
    if bad:
        raise DataError(f"{bad:,} of {rows + bad:,} rows were bad and are not predicted")


def _check_place(output: Path | None, record: "RunRecord", what: list[str]) -> None:
    """Raise KerasCliError if predictions must not replace a file: one of the run `record`, or of those in `what`."""
    if output is not None:
        from kerascli.workflow.outputs import writable

        reads = [Path(each) for each in what if each not in options.SPLITS]
        writable(output, run=record, reads=reads)


def _check_output(output: Path | None, chosen: Mapping[str, object], *, keep: list[str], as_json: bool) -> bool:
    """Return True if the output file holds arrays.

    Raises ConfigError or StorageError if predictions cannot be written in the format of its suffix.

    `chosen` are options of the command, with their values.
    """
    if output is None:
        return False
    from kerascli.report.predictions import FORMATS, TABLES
    from kerascli.workflow.outputs import writable

    kind = output.suffix.lower()
    if as_json and kind != ".jsonl":
        raise ConfigError(f"-o {output}: --json writes a name that ends in .jsonl")
    if kind not in FORMATS:
        raise ConfigError(f"-o {output}: expected a name that ends in {one_of(FORMATS)}")
    if kind not in TABLES and (needs := next((name for name in _OF_TABLES if chosen[name]), None)):
        needed = f"{needs} needs {one_of(TABLES)}"
        raise ConfigError(f"-o {output}: {kind} holds the raw outputs; {needed}")
    if keep and kind == ".npy":
        raise ConfigError(f"-o {output}: .npy holds one array, the outputs; --keep needs {one_of((*TABLES, '.npz'))}")
    writable(output)
    return kind not in TABLES
