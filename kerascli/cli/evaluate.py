"""The command `kerascli evaluate [RUN] [WHAT...]`: loss and metrics of a trained model on a split or on files."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

from kerascli.cli import options, program
from kerascli.cli.evaluation_text import evaluation_json, evaluation_text
from kerascli.cli.options import option
from kerascli.cli.process_group import TIMEOUT, dealing, launch_processes
from kerascli.foundation.errors import Fault, StorageError, safe_text
from kerascli.foundation.world import world_of
from kerascli.runs.outputs import MOST_WORST

if TYPE_CHECKING:
    from kerascli.data.batches.rows import Split
    from kerascli.runs.record import RunRecord
    from kerascli.workflow.evaluate import Evaluation
    from kerascli.workflow.loaded import LoadedRun


By = Annotated[
    list[str] | None, option("--by COLUMN", "Also evaluate each value of a raw column separately; may be repeated.")
]
Worst = Annotated[
    int | None, option("--worst N", "Also print the N rows with the largest losses.", min=1, max=MOST_WORST)
]
WithCells = Annotated[bool, option("--cells", "With --worst: also their cells and pictures, on the page, too.")]
Maximize = Annotated[str | None, option("--maximize METRIC", "Find the threshold with the best f1, accuracy ...")]
HoldRecall = Annotated[
    float | None, option("--hold-recall R", "Find the highest threshold with at least this recall.", min=0, max=1)
]
KeepThreshold = Annotated[bool, option("--keep-threshold", "Keep that threshold in the run, for labels from now on.")]
Output = Annotated[str | None, option("--output NAME", "Output of the threshold, if several have two classes.")]
_PATIENCE_SECONDS = 5.0
"""Time to wait for a process that writes to the run."""


@program.app.add("evaluate latest test --by city")
def evaluate(
    run: options.Run = "latest",
    what: options.What = None,
    by: By = None,
    worst: Worst = None,
    cells: WithCells = False,
    threshold: options.Threshold = None,
    maximize: Maximize = None,
    hold_recall: HoldRecall = None,
    keep_threshold: KeepThreshold = False,
    output: Output = None,
    checkpoint: options.Checkpoint = None,
    data: options.Data = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    runs_dir: options.RunsDir = options.RUNS_DIR,
    as_json: options.Json = False,
    processes: options.Processes = None,
    timeout: options.Timeout = TIMEOUT,
    trust_plugins: options.TrustPlugins = False,
) -> None:
    """Compute a run's loss and metrics, and the scores of each class.

    Without WHAT the test split is evaluated or, if there is none, validation or train.
    """
    from kerascli.workflow.evaluation.choose_threshold import chosen_points, keep, label_by, rule_of

    what, rule = what or [], rule_of(threshold, maximize, hold_recall, needed=keep_threshold or output is not None)
    options.refuse({"--cells": cells and worst is None}, "goes with --worst N, to whose rows it adds cells")
    with dealing(device, timeout) as members:
        options.refuse_idle_data(data, what)
        launch_processes(processes, timeout, alone={"- is standard input, which is read once": "-" in what})
        record = options.trained_run(run, runs_dir, checkpoint, trust_plugins)
        options.refuse({"--keep-threshold": keep_threshold and record.archive}, "cannot write into an archive")
        from kerascli.workflow.baselines import no_better
        from kerascli.workflow.evaluation.cells import add_cells
        from kerascli.workflow.evaluation.facts import evaluation_facts
        from kerascli.workflow.evaluation.groups import evaluate_groups

        opening = {"device": device, "threads": threads, "checkpoint": checkpoint, "data": data, "group": members}
        opened = options.open_run(record, keeps_threshold=keep_threshold, **opening)
        outputs = [] if rule is None else label_by(opened, rule, output, keep=keep_threshold)
        options.note(*opened.threshold_notes())
        name, rows = _rows(opened, what)
        evaluation, groups = evaluate_groups(opened, rows, name, list(dict.fromkeys(by or [])))
        facts = evaluation_facts(opened, rows, evaluation, groups, checkpoint)
    if not world_of().leads:
        return
    options.warn([*rows.oov.warnings(), *no_better(evaluation.result, opened.experiment.spec.log_names())])
    chosen = {} if rule is None else chosen_points(evaluation, rule, outputs)
    shown = facts["worst"][: worst or 0]
    pictures = add_cells(opened, rows, shown) if cells else {}
    if as_json:
        options.say_json(evaluation_json(record, evaluation, groups, chosen, shown))
    else:
        options.say(evaluation_text(evaluation, groups, chosen, shown))
    keep_numbers(record, facts, worst, pictures)
    _draw(record, evaluation, name)
    if rule is not None and keep_threshold:
        options.note("\n".join(keep(opened, evaluation, rule, chosen)))


def keep_numbers(
    record: "RunRecord", facts: Mapping[str, Any], worst: int | None, pictures: Mapping[str, bytes]
) -> None:
    """Keep the results of an evaluation in the run's folder, for its page."""
    if record.archive is not None:
        options.note(f"{record.archive} is not written to: numbers and plots of this evaluation are not kept")
        return
    from kerascli.foundation.disk import locks
    from kerascli.runs.evaluations import evaluation_name, write_evaluation

    try:
        waits = locks.lock(record.path, patience_seconds=_PATIENCE_SECONDS)
        with waits if facts["checkpoint"] is None else nullcontext():  # a run may be evaluated while it trains
            name = facts["split"]
            file = evaluation_name(name, None if name in options.SPLITS else facts["rows_sha256"])
            write_evaluation(record, file, facts, worst, pictures)
    except StorageError as error:
        options.warn([Fault(f"the numbers of this evaluation are not kept: {error}", level="warning")])


def _rows(run: "LoadedRun", what: Sequence[str]) -> tuple[str, "Split"]:
    """Return (name, rows) of the split or files to evaluate; default: the first split of test, validation, train."""
    from kerascli.workflow.rows.command_rows import chosen_rows

    name, rows, _ = chosen_rows(run, what, targets=True)
    options.warn(run.warnings)
    if not what and run.data is not None and name != options.SPLITS[0]:
        options.note(f"split: {name} (the run's data has no '{options.SPLITS[0]}' split)")
    return name, rows


def _draw(record: "RunRecord", evaluation: "Evaluation", rows: str) -> None:
    """Draw the plots of all outputs that predict classes into files: confusion matrix and curves; print their paths, or
    a warning without them."""
    from kerascli.report.plots import binary_curves, confusion_matrix, save

    part, shown = rows if rows in options.SPLITS else "rows", safe_text(rows, 40)
    try:
        for scores in evaluation.class_scores if record.archive is None else ():
            if not scores.has_matrix:
                options.note(f"no confusion matrix of {scores.label}: {len(scores.names):,} classes")
                continue
            at = "" if scores.threshold is None else f", threshold {scores.threshold:.4g}"
            figure = confusion_matrix(scores.matrix.tolist(), scores.names, f"{scores.label}, {shown}{at}")
            save(figure, path := record.plot_path(f"confusion_{scores.label}_{part}.png"))
            options.note(f"confusion matrix: {path}")
            if scores.thresholds is not None:
                title = f"{scores.label}: '{safe_text(scores.names[1], 30)}', {shown}"
                figure = binary_curves(scores.thresholds, scores.names[1], title)
                save(figure, path := record.plot_path(f"curves_{scores.label}_{part}.png"))
                options.note(f"ROC, precision-recall and calibration: {path}")
    except StorageError as error:
        options.warn([Fault(f"plots of this evaluation are not kept: {error}", level="warning")])
