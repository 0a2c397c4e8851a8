"""Config of a study: recorded when the study begins, and compared with the file whenever a worker starts."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kerascli.config.composition.extends import read_extended
from kerascli.config.composition.overrides import assignments, override
from kerascli.config.composition.plugins import plugin_files
from kerascli.config.config import Config, Progress
from kerascli.config.sections.tune import MAX_TRIALS, parse_tune
from kerascli.config.yaml.document import Document
from kerascli.config.yaml.dump import dump_yaml
from kerascli.foundation.disk.files import file_digest
from kerascli.foundation.errors import ConfigError, DataError, Fault, counted
from kerascli.studies.folder import Study, StudyFacts
from kerascli.studies.sampling import grid_size, optuna
from kerascli.workflow.bases import open_config
from kerascli.workflow.check import check, spec_of
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.interchange.networks import fetch_published


def begin_study(
    config: Config, document: Document, options: Options, sets: Sequence[str], flags: Sequence[str], **facts: Any
) -> tuple[Study, Document]:
    """Create the folder of a new study of a config, opened from `document`; return it and the config of all its runs.

    `sets` and `flags` are the arguments of `--set`, which `document` has applied, and of `--flag`; `facts` are further
    settings of the study.
    """
    of_flags = assignments({f"flags.{name}": config.flags[name] for name, _, _ in (f.partition("=") for f in flags)})
    document = override(document, of_flags)
    own = StudyFacts(
        config=str(Path(document.name).absolute()), sets=[*sets, *of_flags], folder=str(Path.cwd()), seed=config.seed,
        device=options.device, settings=_settings(document), data=_digests(config), text=document.text,
        **{"threads": options.threads, "mode": None, **facts},
    )  # fmt: skip
    return Study.create(options.runs_dir, options.name or config.name, own), override(document, [f"seed={config.seed}"])


def new_study(
    options: Options, document: Document, sets: Sequence[str], flags: Sequence[str], trials: int | None,
    progress: Progress | None,
) -> tuple[Study, list[Fault]]:  # fmt: skip
    """Create the folder of a new study of a config, with `--set` applied; return it and warnings. Raises KerasCliError.

    The config is checked as by `validate`, and weights that it needs are downloaded, once for all workers. `trials`
    replaces its number of trials.
    """
    if document.at(("tune",)) is None:
        hint = "as in tune: {objective: val_loss, trials: 20, flags: {units: {int: {range: [16, 256]}}}}"
        raise document.error([Fault("the config has no 'tune' section", (), hint=hint)])
    if document.at(("fit", "distribute")) is not None:
        text = "distribute: a trial is trained by one process"
        raise document.error([Fault(text, ("fit", "distribute"), "key", hint="--workers N trains N trials at a time")])
    runs_dir = options.runs_dir
    checked = check(document, sets=(), flags=flags, progress=progress, runs_dir=runs_dir)
    tune = parse_tune(document.data["tune"])
    if tune.sampler == "tpe":
        optuna()
    if document.at(("model", "init_from")) or document.at(("model", "shared")):
        fetch_published(spec_of(document, flags=flags, runs_dir=runs_dir), progress)
    mode = "compiled" if document.at(("compile", "jit_compile")) is True else "traced"
    own = {"mode": None if "compile.jit_compile" in tune.space.sets else mode, "trials": 0,
           "directions": [*checked.directions], "tune": document.data["tune"]}  # fmt: skip
    config = open_config(document, flags=flags, runs_dir=runs_dir)
    study, document = begin_study(config, document, options, sets, flags, **own)
    plan(study, document, trials or tune.trials or 0)
    return study, checked.warnings


def plan(study: Study, document: Document, trials: int) -> None:
    """Record the number of trials of a study of a config, 0 for any; of a grid at most those that it has.

    Raises ConfigError if more trials have begun.
    """
    tune, begun = study.tune, len(study.members())
    if 0 < trials < begun:
        text = f"--trials {trials}: {counted(begun, 'trial')} of the study have begun"
        raise ConfigError(text, hint=f"--trials {begun}")
    if tune.sampler == "grid":
        trials = grid_size(tune, tune.space.written(document), trials or MAX_TRIALS)
    study.write(study.facts.model_copy(update={"trials": trials}))


def reopened(study: Study, config: Path | None = None) -> Document:
    """Return the config of a study, with its seed and `--set`.

    Raises ConfigError if it is not as when the study began, DataError if its data is not. `config` is the file, if it
    has moved.
    """
    facts = study.facts
    document = override(read_extended(config or Path(facts.config)), facts.sets, Path(facts.folder))
    tune = None if facts.tune is None else document.data.get("tune")  # a study of folds does not read it
    versions = {"tune": facts.tune, **facts.settings}, {"tune": tune, **_settings(document)}
    before, now = (dump_yaml(each).splitlines() for each in versions)
    lines = difflib.unified_diff(before, now, n=0, lineterm="")
    if changes := "; ".join(line for line in lines if not line.startswith(("---", "+++", "@@"))):
        text = f"the config has changed since the study began: {changes}"
        raise ConfigError(text, hint="undo the change, or start a new study")
    document = override(document, [f"seed={facts.seed}"])
    digests = _digests(open_config(document, runs_dir=study.path.parent))
    if changed := dict(digests.items() - facts.data.items()):
        raise DataError(f"the data has changed since the study began: {', '.join(changed)}", hint="start a new study")
    return document


def _settings(document: Document) -> dict[str, Any]:
    """Return the sections of a config that all trials have in common, with the SHA-256 of its plugins by file name."""
    settings = {str(key): value for key, value in document.data.items() if key != "tune"}
    return {**settings, "plugins": {path.name: file_digest(path) for path in plugin_files(document)}}


def _digests(config: Config) -> dict[str, str]:
    """Return the SHA-256 of each file of the data of a config by its name."""
    return {} if config.data is None else config.data.source.digests(config.context)
