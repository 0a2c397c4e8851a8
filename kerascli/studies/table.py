"""Table of a study as plain data: its trials with their parameters and values, and the best of them."""

from pathlib import Path
from statistics import fmean
from typing import Any

from kerascli.foundation.errors import ConfigError, FileRefused, in_yaml, suggestion
from kerascli.runs.reading import TEXT_LIMIT_BYTES, json_object, must_read, quoted
from kerascli.runs.record import RunRecord
from kerascli.studies.facts import FINISHED, TrialFacts
from kerascli.studies.folder import IMPORTANCE, Study
from kerascli.studies.values import Rows, best_trials, rows_of


def study_table(study: Study) -> dict[str, Any]:
    """Return a study as data for JSON: objectives, trials by number, numbers of the best ones, importance.

    Results on the test split are those of the best trials alone.
    """
    tune, facts, trials = study.tune, study.facts, study.trials()
    names = [each.name for each in tune.objective]
    best = [each.number for each in best_trials(trials, facts.directions)]
    path = study.path / IMPORTANCE
    kinds = {key: sorted({getattr(each, key) for each in trials} - {""}) for key in ("processor", "mode")}
    return {
        "study": study.path.name, "path": str(study.path),
        "objectives": dict(zip(names, facts.directions, strict=True)),
        "sampler": tune.sampler, "trials_planned": facts.trials, "stopped": study.stopped(),
        "parameters": [each.name for each in tune.space.parameters],
        "logarithmic": [each.name for each in tune.space.parameters if each.domain is not None and each.domain.log],
        "trials": [_row(study, each, names) for each in trials], "best": best,
        "test": {number: _test(study, number) for number in best},
        "importance": json_object(must_read(path, TEXT_LIMIT_BYTES), path) if path.exists() else None,
        "differs": {key: each for key, each in kinds.items() if len(each) > 1},
    }  # fmt: skip


def study_facts(path: Path) -> tuple[dict[str, Any], dict[str, Rows]]:
    """Return (table of a study, rows of history.csv of each of its trials by number)."""
    study = Study(path)
    table = study_table(study)
    numbers = [each["trial"] for each in table["trials"]]
    return table, {str(number): rows_of(study.member(number)) for number in numbers}


def curves_of(path: Path) -> tuple[list[RunRecord], list[str]]:
    """Return (trials of a study that have epochs, names of its objectives). Raises ConfigError without such a trial."""
    study = Study(path)
    records = [member.runs[-1].record for member in study.members() if rows_of(member)]
    if not records:
        raise ConfigError(f"no trial of {quoted(path)} has an epoch to plot")
    return records, [each.name for each in study.tune.objective]


def columns_of(table: dict[str, Any], sort: str | None = None) -> tuple[list[str], list[list[Any]]]:
    """Return (headings, rows) of the table of a study, sorted by a column: numbers up, then the others.

    Raises ConfigError if it has no such column.
    """
    heads = ["trial", "status", *table["objectives"], *table["parameters"], "epochs", "seconds", "reason"]
    rows = [
        [each["trial"], each["status"], *(each["values"].get(name) for name in table["objectives"]),
         *(each["parameters"].get(name) for name in table["parameters"]), each["epochs"], round(each["seconds"], 1),
         each["reason"]] for each in table["trials"]
    ]  # fmt: skip
    if sort is not None and sort not in heads:
        raise ConfigError(f"there is no column '{sort}'{suggestion(sort, heads)}", hint=f"columns: {', '.join(heads)}")
    place = heads.index(sort or "trial")
    is_number = [isinstance(row[place], int | float) for row in rows]
    order = sorted(
        range(len(rows)), key=lambda i: (not is_number[i], rows[i][place] if is_number[i] else 0, str(rows[i][place]))
    )
    return heads, [rows[index] for index in order]


def study_line(path: Path) -> dict[str, Any]:
    """Return a study as a line of the list of studies; of a damaged one its name alone."""
    line: dict[str, Any] = {"study": path.name, "status": "damaged", "trials": None, "best": None, "value": None}
    try:
        study = Study(path)
        trials = study.trials()
        (best, *_) = best_trials(trials, study.facts.directions) or [None]
        done = sum(each.status in FINISHED for each in trials)
        if study.facts.tune is None:  # of folds
            done = sum(member.record.status() in {"completed", "stopped"} for member in study.members())
        runs = any(member.is_claimed() for member in study.members())
        whole = "completed" if done >= study.facts.trials else "stopped" if study.stopped() else "interrupted"
    except FileRefused:
        return line
    values = {"best": best and best.number, "value": best and best.values[0]}
    return {**line, "status": "running" if runs else whole, "trials": f"{done}/{study.facts.trials}", **values}


def study_text(path: Path) -> str:
    """Return a study as one line of the list of runs."""
    line = study_line(path)
    best = "" if line["best"] is None else f", best: trial {line['best']} with {line['value']:.5g}"
    noun = "folds" if line["status"] != "damaged" and Study(path).facts.tune is None else "trials"
    return f"study {line['study']}: {line['status']}, {line['trials']} {noun}{best}"


def parameters_text(study: Study, facts: TrialFacts) -> str:
    """Return the parameters of a trial as text: `units 64, cell lstm`."""
    return ", ".join(f"{name} {in_yaml(value)}" for name, value in parameters_of(study, facts).items()) or "as written"


def parameters_of(study: Study, facts: TrialFacts) -> dict[str, Any]:
    """Return the values of a trial's parameters; of a choice within which others are, only the name of the item."""
    shown = study.tune.space.shown(facts.point)
    inner = {each.condition[0] for each in study.tune.space.parameters if each.condition is not None}
    return {
        name: next(iter(value)) if name in inner and isinstance(value, dict) and len(value) == 1 else value
        for name, value in shown.items()
    }


def _row(study: Study, facts: TrialFacts, names: list[str]) -> dict[str, Any]:
    running = facts.status == "running" and not study.member(facts.number).is_claimed()
    return {
        "trial": facts.number, "status": "interrupted" if running else facts.status,
        "values": dict(zip(names, facts.values, strict=False)), "parameters": parameters_of(study, facts),
        "epochs": facts.epochs, "seconds": facts.seconds, "reason": facts.reason, "seen": facts.seen,
        "host": facts.host, "processor": facts.processor, "mode": facts.mode,
    }  # fmt: skip


def _test(study: Study, number: int) -> dict[str, Any]:
    """Return the losses and metrics of a trial on the test split; of folds their means."""
    try:
        runs = [(run.record.facts().get("results") or {}).get("test", {}) for run in study.member(number).runs]
    except FileRefused:
        return {}
    return {name: fmean(logs[name] for logs in runs) for name in runs[0]}
