"""Write and read the folder of a study: its settings, and its members, which are run folders.

runs/2026-11-24T22-17-58Z-mnist_mlp/
  study.yaml   stopped.txt   importance.json   oof.csv
  trials/0001/   trial.json and the files of a run; or a folder of the same form, with a run for each fold
"""

import contextlib
import math
import shlex
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from operator import le, mul
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from kerascli.config.sections.tune import TuneSection, parse_tune
from kerascli.config.yaml.dump import dump_yaml
from kerascli.config.yaml.text import parse_document
from kerascli.foundation.disk import locks, storage
from kerascli.foundation.errors import ConfigError, FileRefused, KerasCliError, StorageError
from kerascli.runs import index
from kerascli.runs.history import Row, parse
from kerascli.runs.reading import json_object, quoted, read_bytes, read_text
from kerascli.runs.record import MEMBERS, STUDY, RunRecord, is_study, make_runs_dir, new_dated_folder

Status = Literal["running", "completed", "pruned", "failed"]
_TRIAL, _STOPPED, IMPORTANCE = "trial.json", "stopped.txt", "importance.json"
_CLAIM = ".claim"
"""Name of the locked file in a member's folder, beside that of the run in it."""


class _Facts(BaseModel):
    """Contents of a file of a study, of which every field is checked."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    format: Literal[1] = 1

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the facts in a JSON or YAML file. Raises FileRefused if it is missing or damaged."""
        text = read_text(path)
        try:
            data = json_object(text.encode(), path) if path.suffix == ".json" else parse_document(text, str(path)).data
            return cls.model_validate(data)
        except ConfigError as error:
            fault = error.faults[0].text
        except ValidationError as error:
            fault = f"{quoted('.'.join(map(str, error.errors()[0]['loc'])))} is not as kerascli writes it"
        raise FileRefused(f"{quoted(path)} is damaged: {fault}")


class StudyFacts(_Facts):
    """Settings of a study that all its trials have in common: the contents of study.yaml."""

    config: str
    """Path of the config's file."""
    sets: list[str] = []
    """Arguments of `--set` for all trials, those of `--flag` among them."""
    folder: str = ""
    """Folder to which relative paths in `sets` refer: the one in which the study began."""
    seed: int
    threads: int
    """Number of CPU threads of each trial."""
    device: str
    mode: str | None
    """Execution mode of each trial; None: the space sets it."""
    trials: int
    """Number of trials; 0 if only a timeout ends the study."""
    directions: list[Literal["min", "max"]] = []
    """Better direction of each objective."""
    data: dict[str, str] = {}
    """SHA-256 of each file of the data by its name."""
    tune: dict[str, Any] | None = None
    """Section `tune` of the config; None for a study of the folds of one config."""
    settings: dict[str, Any]
    """The config's other sections, with `extends` and `--set` applied, and the SHA-256 of its plugins."""
    text: str
    """Text of the config's file."""

    @property
    def of(self) -> str:
        """Number of trials as text after that of some of them: ` of 24`; empty if only a timeout ends the study."""
        return f" of {self.trials}" if self.trials else ""


class TrialFacts(_Facts):
    """Facts about a trial or a fold: the contents of trial.json, which is written before its training starts."""

    number: int
    status: Status = "running"
    point: dict[str, int | float] = {}
    """Number of each parameter of the search space, for a choice the index of its item."""
    sets: dict[str, Any] = {}
    """Value of each path as of `--set`."""
    seen: list[int] = []
    """Numbers of the trials that the sampler took into account."""
    kills: int = 0
    """Number of times that its process was killed."""
    values: list[float] = []
    """Value of each objective, once the trial has ended."""
    results: dict[str, Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]] = {}
    """Losses and metrics by the final weights: `test loss`, and of a fold `validation loss` and `baseline loss`; in the
    file null stands for those that are not finite."""
    epochs: int = 0
    reason: str | None = None
    """Reason why it failed or was pruned."""
    host: str = ""
    processor: str = ""
    mode: str = ""
    ended: str | None = None
    seconds: float = 0.0


def best_trials(trials: Iterable[TrialFacts], directions: Sequence[str]) -> list[TrialFacts]:
    """Return the completed trials that no other one equals or beats, by number: one, with several objectives a front.

    Of trials with the same values it is the first.
    """
    signs, best = [1.0 if each == "min" else -1.0 for each in directions], list[tuple[list[float], TrialFacts]]()
    done = [([*map(mul, signs, each.values)], each) for each in trials if each.status == "completed"]
    for losses, each in sorted(done, key=lambda done: (done[0], done[1].number)):
        if not any(all(map(le, other, losses)) for other, _ in best):
            best.append((losses, each))
    return sorted((each for _, each in best), key=lambda each: each.number)


class Member(RunRecord):
    """Run of a study, with the facts about it as a trial; a trial over folds is the folder of its folds' runs."""

    @property
    def runs(self) -> "list[Member]":
        """Runs of a trial: those of the folds that have begun, in order, else the trial itself."""
        return (Study(self.path).members() if is_study(self.path) else []) or [self]

    def trial(self) -> TrialFacts | None:
        """Return the facts in trial.json; None if there are none yet. Raises FileRefused if the file is damaged."""
        path = self.path / _TRIAL
        return TrialFacts.read(path) if path.exists() else None

    def write_trial(self, facts: TrialFacts) -> TrialFacts:
        """Write the facts to trial.json, and return them."""
        storage.write_bytes(self.path / _TRIAL, storage.json_text(facts.model_dump()).encode())
        return facts

    def rows(self) -> list[Row]:
        """Return the rows of history.csv, also while it is written; [] if there are none."""
        path = self.path / "history.csv"
        with contextlib.suppress(OSError, FileRefused):
            return [*parse(read_bytes(path), path)]
        return []

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Context manager that claims the member for its block. Raises Locked if another process has claimed it.

        The claim is a lock, which the system releases however the process ends.
        """
        storage.make_folder(self.path)
        with locks.lock(self.path, name=_CLAIM):
            storage.sweep(self.path)
            yield

    def is_claimed(self) -> bool:
        return locks.locked(self.path, _CLAIM)


class Study:
    """Folder of a study, with methods to read and write its files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ended: dict[str, TrialFacts] = {}

    @classmethod
    def create(cls, runs_dir: Path, name: str, facts: StudyFacts) -> "Study":
        """Create the folder of a new study, named by the present time and `name`."""
        make_runs_dir(runs_dir)
        study = cls(new_dated_folder(runs_dir, name))
        study.write(facts)
        storage.make_folder(study.path / MEMBERS)
        return study

    @cached_property
    def facts(self) -> StudyFacts:
        """Settings in study.yaml, read once. Raises FileRefused if the file is damaged."""
        return StudyFacts.read(self.path / STUDY)

    @cached_property
    def tune(self) -> TuneSection:
        """Section `tune` of the study's config. Raises ConfigError if the study has none."""
        if self.facts.tune is None:
            text = f"{quoted(self.path)} is a study of folds, without a search space"
            raise ConfigError(text, hint=f"go on with it: kerascli train --resume {self.path}")
        return parse_tune(self.facts.tune)

    def write(self, facts: StudyFacts) -> None:
        storage.write_bytes(self.path / STUDY, dump_yaml(facts.model_dump()).encode())
        self.__dict__.pop("facts", None)

    def member(self, name: str | int) -> Member:
        """Return the member of a name, such as 7 or `fold-3`, whether it exists or not."""
        return Member(index.member_path(self.path, str(name)))

    def members(self) -> list[Member]:
        """Return the members that have a folder, in order."""
        paths = [path for path in (self.path / MEMBERS).glob("[!.]*") if not path.is_symlink()]
        return [Member(path) for path in sorted(paths, key=lambda path: (len(path.name), path.name))]

    def trials(self) -> list[TrialFacts]:
        """Return the facts about the trials that have begun, by number; those that have ended are read once."""
        trials = {each.path.name: self._ended.get(each.path.name) or each.trial() for each in self.members()}
        self._ended = {name: facts for name, facts in trials.items() if facts and facts.status != "running"}
        return [*filter(None, trials.values())]

    def best(self) -> list[TrialFacts]:
        """Return the best trials: one, with several objectives the front; [] if none is completed."""
        return best_trials(self.trials(), self.facts.directions) if self.facts.directions else []

    def runs(self) -> list[Member]:
        """Return the runs that it stands for: of folds all of them, else those of its best trial; [] without one."""
        if self.facts.tune is None:
            return self.members()
        return [run for best in self.best()[:1] for run in self.member(best.number).runs]

    def best_run(self) -> RunRecord:
        """Return the run of the best trial. Raises ConfigError without one, or if it has a run for each fold."""
        if self.facts.tune is None or len(runs := self.runs()) != 1:
            raise index.is_no_run(self.path)
        return runs[0]

    def is_running(self) -> bool:
        """Return True if a process trains one of its members."""
        return any(member.is_claimed() for member in self.members())

    def remove(self) -> None:
        """Delete the folder. Raises StorageError while a process trains one of its members."""
        if self.is_running():
            raise StorageError(f"{quoted(self.path)} is being trained", hint="stop it first")
        storage.remove_folder(self.path)

    def stopped(self) -> str | None:
        """Return the reason why the study was stopped; None if it was not."""
        path = self.path / _STOPPED
        return read_text(path).strip() if path.exists() else None

    def refuse_stopped(self, kind: type[KerasCliError]) -> None:
        """Raise an error of a kind if the study was stopped."""
        if (reason := self.stopped()) is not None:
            hint = f"go on: kerascli tune --resume {shlex.quote(str(self.path))}"
            raise kind(f"the study was stopped: {reason}", hint=hint)

    def stop(self, reason: str) -> None:
        storage.write_text(self.path / _STOPPED, reason)

    def go_on(self) -> None:
        """Let a stopped study go on."""
        storage.remove_file(self.path / _STOPPED)


def find_study(selector: str, runs_dir: Path) -> Study:
    """Return the study with this path, name or prefix, or the `latest`.

    Raises ConfigError unless one is found, also for a trial over folds.
    """
    study = Study(index.find(selector, runs_dir, only_studies=True))
    if Member(study.path).is_member:
        own, all_trials = (shlex.quote(str(path)) for path in (study.path, study.path.parent.parent))
        hint = f"kerascli report {own} shows it, kerascli studies show {all_trials} all trials"
        raise ConfigError(f"{quoted(study.path)} is a trial of a study", hint=hint)
    return study


def find_run(selector: str, runs_dir: Path) -> RunRecord:
    """Return the run that a selector names, of a study its best trial.

    Raises ConfigError unless one is found, also for a study of folds, or whose best trial has a run for each fold.
    """
    path = index.find(selector, runs_dir)
    return Study(path).best_run() if is_study(path) else RunRecord.open(path)
