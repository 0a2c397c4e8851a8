"""Table of a study as plain data: its trials with their parameters and values, or its folds; and the config of the best
trial."""

import math
import os
import shlex
from collections.abc import Mapping
from contextlib import suppress
from functools import partial, reduce
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from kerascli.config.composition.extends import extend
from kerascli.config.composition.overrides import assignments, override
from kerascli.config.composition.references import is_path
from kerascli.config.sections.tune import TuneSection
from kerascli.config.yaml.document import Document
from kerascli.config.yaml.in_place import with_values
from kerascli.config.yaml.text import parse_document
from kerascli.data.remote.addresses import in_place
from kerascli.foundation.disk.files import in_home
from kerascli.foundation.errors import ConfigError, FileRefused, dotted, in_yaml, leaves, suggestion
from kerascli.runs.history import Row
from kerascli.runs.reading import TEXT_LIMIT_BYTES, json_object, must_read, quoted
from kerascli.studies.folder import IMPORTANCE, Study, TrialFacts


def study_table(study: Study) -> dict[str, Any]:
    """Return a study as data for JSON: objectives, trials by number, numbers of the best ones, importance; or of folds.

    Results on the test split are those of the best trials alone.
    """
    facts, trials, path = study.facts, study.trials(), study.path / IMPORTANCE
    head = {
        "study": study.path.name, "path": str(study.path), "trials_planned": facts.trials or None,
        "trials_done": sum(each.status != "running" for each in trials),
    }  # fmt: skip
    if facts.tune is None:
        return {**head, "folds": fold_results(study)}
    tune, best = study.tune, study.best()
    return {
        **head, "objectives": dict(zip((each.name for each in tune.objective), facts.directions, strict=True)),
        "sampler": tune.sampler, "stopped": study.stopped(),
        "parameters": [each.name for each in tune.space.parameters],
        "logarithmic": [each.name for each in tune.space.parameters if each.domain.log],
        "trials": [_row(study, tune, each) for each in trials], "best": [each.number for each in best],
        "test": {each.number: each.results for each in best},
        "importance": json_object(must_read(path, TEXT_LIMIT_BYTES), path) if path.exists() else None,
        "differs": {key: kinds for key in ("processor", "mode")
                    if len(kinds := sorted({getattr(each, key) for each in trials} - {""})) > 1},
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


def fold_results(study: Study) -> dict[str, dict[str, float]]:
    """Return the losses and metrics of all folds by split and name (`test loss`), and by fold, `mean` or `deviation`.

    The standard deviation is that of a sample (divided by n - 1). There are none before all folds have ended.
    """
    results: dict[str, dict[str, float]] = {}
    folds = study.trials()
    for name in folds[0].results if len(folds) == study.facts.trials else ():
        if all(name in fold.results for fold in folds):
            values = {f"fold-{fold.number}": fold.results[name] for fold in folds}
            deviation = stdev(values.values()) if all(map(math.isfinite, values.values())) else math.nan
            results[name] = {**values, "mean": fmean(values.values()), "deviation": deviation}
    return results


def histories_of(study: Study) -> dict[str, list[Row]]:
    """Return the rows of history.csv of each trial or fold, of a trial over folds those of its last one."""
    return {member.path.name.lstrip("0"): member.runs[-1].rows() for member in study.members()}


def rows_of(table: Mapping[str, Any], sort: str | None = None) -> list[dict[str, Any]]:
    """Return the rows of the table of a study by their headings: a row for each trial, or for each result of folds.

    They are sorted by a heading, numbers first, if `sort` is one. Raises ConfigError if it is none.
    """
    unknown = dict.fromkeys([*table.get("objectives", ()), *table.get("parameters", ())])
    rows = [
        {"trial": each["trial"], "status": each["status"], **unknown, **each["values"], **each["parameters"],
         **{name: each[name] for name in ("epochs", "seconds", "reason")}}
        for each in table.get("trials", ())
    ] + [{"value": name, **results} for name, results in table.get("folds", {}).items()]  # fmt: skip
    if sort is None or not rows:
        return rows
    if sort not in rows[0]:
        hint = f"columns: {', '.join(rows[0])}"
        raise ConfigError(f"there is no column '{sort}'{suggestion(sort, rows[0])}", hint=hint)
    return sorted(rows, key=lambda row: (0, row[sort]) if isinstance(row[sort], int | float) else (1, str(row[sort])))


def facts_of(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is shown of a study beside the rows of its table, by name."""
    of = "" if table["trials_planned"] is None else f" of {table['trials_planned']}"
    facts: dict[str, Any] = {"done": f"{table['trials_done']}{of} {'folds' if 'folds' in table else 'trials'}"}
    if "folds" in table:
        return facts
    missing = "none: it needs four completed trials, and Optuna (pip install 'kerascli[tune]')"
    facts |= {"sampler": table["sampler"]} | {f"best: {trial}": text for trial, text in best_texts(table).items()}
    facts |= {f"trial {number}": values for number, values in table["test"].items() if values}
    facts |= {"importance": table["importance"] or missing, "stopped": table["stopped"]}
    facts |= {f"trials differ in their {key}": kinds for key, kinds in table["differs"].items()}
    return {name: value for name, value in facts.items() if value is not None}


def best_texts(table: Mapping[str, Any]) -> dict[str, str]:
    """Return the values and parameters of the best trials of a table as text, by `trial 7`."""
    return {f"trial {row['trial']}": trial_text(row) for row in table["trials"] if row["trial"] in table["best"]}


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
        done = sum(each.status != "running" for each in trials)
        is_whole = done >= (facts.trials or max(1, len(trials)))
        status = "completed" if is_whole else "stopped" if study.stopped() else "interrupted"
        status = "running" if study.is_running() else status
        line |= {"status": status, "of": "folds" if facts.tune is None else "trials", "done": f"{done}{facts.of}"}
        for best in study.best()[:1]:
            line |= {"best": best.number, "value": best.values[0]}
    return line


def best_config(study: Study) -> tuple[int, str]:
    """Return (number of the best trial, text of its config).

    Raises ConfigError if no trial is completed, or its values, written into a config that extends another, would not
    be those of the trial.
    """
    assert study.tune  # raises ConfigError for a study of folds
    if not study.best():
        raise ConfigError(f"no trial of {quoted(study.path)} is completed")
    best, facts, text = study.best()[0], study.facts, None
    parsed = partial(parse_document, name=facts.config, folder=Path(facts.config).parent)
    own, trial, comment = parsed(facts.text), assignments(best.sets), f"trial {best.number} of {study.path.name}"
    places = assignments(_places_set(override(extend(own), facts.sets), Path(facts.folder)))

    def at_best(document: Document) -> Any:
        return reduce(override, (facts.sets, places, trial), document).data

    if "extends" not in own.data:
        return best.number, with_values(own.text, at_best(own), comment)
    with suppress(ConfigError):  # a path of an item in the base
        text = with_values(own.text, at_best(own), comment)
    if text is None or extend(parsed(text)).data != at_best(extend(own)):
        fault = f"{quoted(facts.config)} extends another config, into which values of {comment} would be merged"
        command = shlex.join(["kerascli", "train", facts.config, *(f"--set={each}" for each in (*facts.sets, *trial))])
        raise ConfigError(fault, hint=command)
    return best.number, text


def _places_set(document: Document, folder: Path) -> dict[str, str]:
    """Return the absolute paths of the files that `--set` has set in a config, by their paths as of `--set`; relative
    ones are those of `folder`."""
    return {
        dotted(path): os.path.abspath(folder / in_home(value))
        for path, value in leaves(document.data, bool)
        if isinstance(value, str) and document.mark(path).value.file.startswith("--set ") and is_path(path)
        and not in_place(value) and (os.sep in value or (folder / value).exists())
    }  # fmt: skip
