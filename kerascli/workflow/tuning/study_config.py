"""Config of a study: recorded when the study begins, and compared with the file whenever a worker starts."""

import difflib
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kerascli.config.composition.extends import read_extended
from kerascli.config.composition.overrides import assignments, override
from kerascli.config.composition.plugins import plugin_files
from kerascli.config.composition.references import read_flags
from kerascli.config.sections.tune import MAX_TRIALS, parse_tune
from kerascli.config.top_level import run_name
from kerascli.config.yaml.document import Document
from kerascli.config.yaml.dump import dump_yaml
from kerascli.foundation.cpus import cpu_limit
from kerascli.foundation.disk.files import file_digest
from kerascli.foundation.errors import ConfigError, DataError, Fault
from kerascli.studies.folder import Study, StudyFacts
from kerascli.studies.sampling import grid_size, optuna
from kerascli.workflow.bases import open_config


def begin_study(
    runs_dir: Path, name: str | None, document: Document, sets: Sequence[str], flags: Sequence[str], **facts: Any
) -> tuple[Study, Document]:
    """Create the folder of a new study of a config, with `--set` applied; return it and the config of all its runs.

    `sets` and `flags` are the arguments of `--set` and `--flag`; `facts` are further settings of the study.
    """
    values = read_flags(document, flags)
    of_flags = assignments({f"flags.{name}": values[name] for name in (each.partition("=")[0] for each in flags)})
    document = override(document, of_flags)
    seed = document.data.get("seed")
    seeded = _seeded(document, secrets.randbelow(2**31) if seed is None else seed)
    own = StudyFacts(
        config=str(Path(document.name).resolve()), sets=[*sets, *of_flags], seed=seeded.data["seed"],
        settings=_settings(document), data=_digests(seeded, runs_dir), text=document.text, **facts,
    )  # fmt: skip
    name = name or document.data.get("name") or run_name(Path(document.name))
    return Study.create(runs_dir, str(name), own), seeded


def new_study(
    runs_dir: Path, document: Document, sets: Sequence[str], flags: Sequence[str], *, directions: Sequence[str],
    workers: int, trials: int | None, threads: int | None, device: str,
) -> Study:  # fmt: skip
    """Create the folder of a new study of a checked config, with `--set` applied. Raises ConfigError.

    `trials` and `threads` (of a trial) replace the config's number of trials, and the cores divided by `workers`.
    """
    if document.at(("tune",)) is None:
        hint = "as in tune: {objective: val_loss, trials: 20, flags: {units: {int: {range: [16, 256]}}}}"
        raise document.error([Fault("the config has no 'tune' section", (), hint=hint)])
    if document.at(("fit", "distribute")) is not None:
        text = "distribute: a trial is trained by one process"
        raise document.error([Fault(text, ("fit", "distribute"), "key", hint="--workers N trains N trials at a time")])
    tune = parse_tune(document.data["tune"])
    if tune.sampler == "tpe":
        optuna()
    varied = "compile.jit_compile" in tune.space.sets
    compiled = document.at(("compile", "jit_compile")) is True
    study, document = begin_study(
        runs_dir, None, document, sets, flags, threads=threads or max(1, cpu_limit().count // max(1, workers)),
        device=device, mode=None if varied else "compiled" if compiled else "traced", trials=1,
        directions=list(directions), tune=document.data["tune"],
    )  # fmt: skip
    plan(study, document, trials or tune.trials or MAX_TRIALS)
    return study


def plan(study: Study, document: Document, trials: int) -> None:
    """Record the number of trials of a study of a config, of a grid at most those that it has."""
    tune = study.tune
    count = grid_size(tune, tune.space.written(document), trials) if tune.sampler == "grid" else trials
    study.write(study.facts.model_copy(update={"trials": count}))


def reopened(study: Study, config: Path | None = None) -> Document:
    """Return the config of a study, with its seed and `--set`.

    Raises ConfigError if it is not as when the study began, DataError if its data is not. `config` is the file, if it
    has moved.
    """
    facts = study.facts
    document = override(read_extended(config or Path(facts.config)), facts.sets)
    tune = None if facts.tune is None else document.data.get("tune")  # a study of folds does not read it
    before, now = (dump_yaml({"tune": facts.tune, **facts.settings}), dump_yaml({"tune": tune, **_settings(document)}))
    if before != now:
        changes = list(difflib.unified_diff(before.splitlines(), now.splitlines(), n=0, lineterm=""))[2:]
        shown = "; ".join(line for line in changes if not line.startswith("@@"))
        text = f"the config has changed since the study began: {shown}"
        raise ConfigError(text, hint="undo the change, or start a new study")
    document = _seeded(document, facts.seed)
    if changed := dict(_digests(document, study.path.parent).items() - facts.data.items()):
        raise DataError(f"the data has changed since the study began: {', '.join(changed)}", hint="start a new study")
    return document


def _seeded(document: Document, seed: int) -> Document:
    return replace(document, data={**document.data, "seed": seed})


def _settings(document: Document) -> dict[str, Any]:
    """Return the sections of a config that all trials have in common, with the SHA-256 of its plugins by file name."""
    settings = {str(key): value for key, value in document.data.items() if key != "tune"}
    plugins = {path.name: file_digest(path) for path in plugin_files(document)}
    return {**settings, "plugins": plugins} if plugins else settings


def _digests(document: Document, runs_dir: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of the data of a config by its name."""
    config = open_config(document, fold=1, runs_dir=runs_dir)
    return {} if config.data is None else config.data.source.digests(config.context)
