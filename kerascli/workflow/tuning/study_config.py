"""Config of a study: recorded when the study begins, and compared with the file whenever a worker starts."""

import difflib
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kerascli.config.composition.extends import read_extended
from kerascli.config.composition.overrides import override
from kerascli.config.composition.plugins import plugin_files
from kerascli.config.point import written_point
from kerascli.config.sections.tune import MAX_TRIALS, parse_tune
from kerascli.config.top_level import run_name
from kerascli.config.yaml.document import Document
from kerascli.config.yaml.dump import dump_yaml
from kerascli.foundation.cpus import cpu_limit
from kerascli.foundation.disk.files import file_digest
from kerascli.foundation.errors import ConfigError, Fault
from kerascli.studies.facts import StudyFacts
from kerascli.studies.folder import Study
from kerascli.studies.sampling import grid, optuna


def new_study(
    runs_dir: Path, document: Document, sets: Sequence[str], flags: Sequence[str], *, directions: Sequence[str],
    workers: int, trials: int | None, threads: int | None, device: str, name: str | None,
) -> Study:  # fmt: skip
    """Create the folder of a new study of a checked config, with `--set` applied. Raises ConfigError.

    `trials`, `threads` (of a trial) and `name` replace the config's number of trials, the cores divided by `workers`,
    and the config's name.
    """
    if document.at(("tune",)) is None:
        hint = "as in tune: {objective: val_loss, trials: 20, flags: {units: {int: {range: [16, 256]}}}}"
        raise document.error([Fault("the config has no 'tune' section", (), hint=hint)])
    if document.at(("fit", "distribute")) is not None:
        text = "distribute: a trial is trained by one process"
        raise document.error([Fault(text, ("fit", "distribute"), "key", hint="--workers N trains N trials at a time")])
    tune = parse_tune(document.data["tune"])
    count = trials or tune.trials or MAX_TRIALS
    if tune.sampler == "grid":
        points = grid(tune.space, written_point(document, flags, tune.space))
        count = 1 + sum(1 for _ in zip(range(count - 1), points, strict=False))
    elif tune.sampler == "tpe":
        optuna()
    path = Path(document.name)
    varied = "compile.jit_compile" in tune.space.sets
    compiled = document.at(("compile", "jit_compile")) is True
    facts = StudyFacts(
        config=str(path.resolve()), sets=list(sets), flags=list(flags),
        seed=seed_of(document), threads=threads or max(1, cpu_limit().count // max(1, workers)), device=device,
        mode=None if varied else "compiled" if compiled else "traced", trials=count, directions=list(directions),
        plugins=plugins_of(document), tune=document.data["tune"], settings=settings_of(document), text=document.text,
    )  # fmt: skip
    return Study.create(runs_dir, name or document.data.get("name") or run_name(path), facts)


def reopened(study: Study, config: Path | None = None) -> Document:
    """Return the config of a study, with its seed and `--set`. Raises ConfigError if it is not as when the study began.

    `config` is the file, if it has moved.
    """
    facts, path = study.facts, config or Path(study.facts.config)
    document = override(read_extended(path), facts.sets)
    before = dump_yaml({"tune": facts.tune, **facts.settings, "plugins": facts.plugins}).splitlines()
    tune = None if facts.tune is None else document.data.get("tune")  # a study of folds does not read it
    after = dump_yaml({"tune": tune, **settings_of(document), "plugins": plugins_of(document)})
    changes = list(difflib.unified_diff(before, after.splitlines(), n=0, lineterm=""))[2:]
    if changes:
        shown = "; ".join(line for line in changes if not line.startswith("@@"))
        text = f"the config has changed since the study began: {shown}"
        raise ConfigError(text, hint="undo the change, or start a new study")
    return replace(document, data={**document.data, "seed": facts.seed})


def seed_of(document: Document) -> int:
    """Return the seed of a config; without one, a random number."""
    seed = document.data.get("seed")
    return secrets.randbelow(2**31) if seed is None else seed


def settings_of(document: Document) -> dict[str, Any]:
    """Return the sections of a config that all trials have in common, without its plugins."""
    return {str(key): value for key, value in document.data.items() if key not in ("tune", "plugins")}


def plugins_of(document: Document) -> dict[str, str]:
    """Return the SHA-256 of each plugin of a config by its file name."""
    return {path.name: file_digest(path) for path in plugin_files(document)}
