"""Table of a study as plain data: its trials with their parameters and values, or its folds; and the config of the best
trial."""

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from kerascli.config.composition.overrides import assignments, override
from kerascli.config.sections.tune import TuneSection
from kerascli.config.yaml.in_place import with_values
from kerascli.config.yaml.text import parse_document
from kerascli.foundation.errors import ConfigError, FileRefused, in_yaml, suggestion
from kerascli.runs.history import Row
from kerascli.runs.reading import TEXT_LIMIT_BYTES, json_object, must_read, quoted
from kerascli.studies.folder import FINISHED, IMPORTANCE, Study, TrialFacts

Results = dict[str, dict[str, dict[str, float]]]
"""Type of losses and metrics by split, and by fold, `mean` or `deviation`."""


def study_table(study: Study) -> dict[str, Any]:
    """Return a study as data for JSON: objectives, trials by number, numbers of the best ones, importance; or of folds.

    Results on the test split are those of the best trials alone.
    """
    facts, trials, path = study.facts, study.trials(), study.path / IMPORTANCE
    head = {
        "study": study.path.name, "path": str(study.path), "trials_planned": facts.trials or None,
        "trials_done": sum(each.status in FINISHED for each in trials),
    }  # fmt: skip
    if facts.tune is None:
        return {**head, "folds": fold_results(trials)}
    tune, best = study.tune, study.best()
    kinds = {key: {getattr(each, key) for each in trials} - {""} for key in ("processor", "mode")}
    return {
        **head, "objectives": dict(zip((each.name for each in tune.objective), facts.directions, strict=True)),
        "sampler": tune.sampler, "stopped": study.stopped(),
        "parameters": [each.name for each in tune.space.parameters],
        "logarithmic": [each.name for each in tune.space.parameters if each.domain.log],
        "trials": [_row(study, tune, each) for each in trials], "best": [each.number for each in best],
        "test": {each.number: each.results.get("test", {}) for each in best},
        "importance": json_object(must_read(path, TEXT_LIMIT_BYTES), path) if path.exists() else None,
        "differs": {key: sorted(each) for key, each in kinds.items() if len(each) > 1},
    }  # fmt: skip


def _row(study: Study, tune: TuneSection, facts: TrialFacts) -> dict[str, Any]:
    member, is_running = study.member(facts.number), facts.status == "running"
    return {
        "trial": facts.number, "status": "interrupted" if is_running and not member.is_claimed() else facts.status,
        "values": dict(zip((each.name for each in tune.objective), facts.values, strict=False)),
        "parameters": tune.space.shown(facts.point),
        "epochs": len(member.runs[-1].rows()) if is_running else facts.epochs,
        **facts.model_dump(include={"seconds", "reason", "seen", "host", "processor", "mode"}),
    }  # fmt: skip


def fold_results(folds: list[TrialFacts]) -> Results:
    """Return the results of each fold, their means, and standard deviations of a sample (divided by n - 1).

    The splits are those that all folds have; there are none before all folds have ended.
    """
    results: Results = {}
    for split in folds[0].results if folds else ():
        if any(split not in each.results for each in folds):
            continue
        rows = {f"fold-{each.number}": each.results[split] for each in folds}
        values = {name: [logs[name] for logs in rows.values()] for name in rows["fold-1"]}
        rows["mean"] = {name: fmean(each) for name, each in values.items()}
        rows["deviation"] = {
            n: stdev(each) if all(map(math.isfinite, each)) else math.nan for n, each in values.items()
        }
        results[split] = rows
    return results


def histories_of(study: Study) -> dict[str, list[Row]]:
    """Return the rows of history.csv of each trial or fold, of a trial over folds those of its last one."""
    return {member.path.name.lstrip("0"): member.runs[-1].rows() for member in study.members()}


def columns_of(table: Mapping[str, Any], sort: str | None = None) -> dict[str, list[Any]]:
    """Return the columns of the table of trials by their headings, sorted by one of them: numbers up, then the others.

    Raises ConfigError if it has no such column.
    """
    trials = table["trials"]
    columns = {name: [each[name] for each in trials] for name in ("trial", "status")}
    columns |= {name: [each["values"].get(name) for each in trials] for name in table["objectives"]}
    columns |= {name: [each["parameters"].get(name) for each in trials] for name in table["parameters"]}
    columns |= {name: [each[name] for each in trials] for name in ("epochs", "seconds", "reason")}
    if sort is not None and sort not in columns:
        hint = f"columns: {', '.join(columns)}"
        raise ConfigError(f"there is no column '{sort}'{suggestion(sort, columns)}", hint=hint)
    column = columns[sort or "trial"]
    order = sorted(range(len(column)), key=lambda index: _order(column[index]))
    return {name: [values[index] for index in order] for name, values in columns.items()}


def _order(value: Any) -> tuple[bool, float, str]:
    is_number = isinstance(value, int | float)
    return not is_number, value if is_number else 0.0, str(value)


def trial_text(row: dict[str, Any]) -> str:
    """Return the values and parameters of a trial of a table as text: `val_loss 0.21 (units 64, cell lstm)`."""
    texts = [f"{name} {value:.5g}" for name, value in row["values"].items()]
    if row["reason"]:
        texts.append(f"failed: {row['reason']}" if row["status"] == "failed" else row["reason"])
    parameters = ", ".join(f"{name} {in_yaml(value)}" for name, value in row["parameters"].items())
    return f"{', '.join(texts)} ({parameters or 'as written'})"


def study_line(path: Path) -> dict[str, Any]:
    """Return a study as a line of the list of studies; of a damaged one its name alone."""
    study = Study(path)
    line = {"study": path.name, "status": "damaged", "of": None, "done": None, "best": None, "value": None}
    with suppress(FileRefused):
        trials, facts = study.trials(), study.facts
        done = sum(each.status in FINISHED for each in trials)
        is_whole = done >= (facts.trials or max(1, len(trials)))
        status = "completed" if is_whole else "stopped" if study.stopped() else "interrupted"
        line |= {"of": "folds" if facts.tune is None else "trials", "done": f"{done}{facts.of}"}
        for best in study.best()[:1]:
            line |= {"best": best.number, "value": best.values[0]}
        line["status"] = "running" if study.is_running() else status
    return line


def study_columns(paths: Iterable[Path]) -> dict[str, list[Any]]:
    """Return the columns of the list of studies by their headings."""
    lines = [study_line(path) for path in paths]
    return {name: [line[name] for line in lines] for name in lines[0]}


def best_config(study: Study) -> tuple[int, str]:
    """Return (number of the best trial, text of its config). Raises ConfigError if no trial is completed."""
    assert study.tune  # raises ConfigError for a study of folds
    if not study.best():
        raise ConfigError(f"no trial of {quoted(study.path)} is completed")
    best, own = study.best()[0], parse_document(study.facts.text, study.facts.config)
    document = override(override(own, study.facts.sets), assignments(best.sets))
    return best.number, with_values(own.text, document.data, f"trial {best.number} of {study.path.name}")
