"""Train trials of a study in one process, until none is left that no other worker has claimed."""

import gc
import platform
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch

from kerascli.config.point import config_at, written_point
from kerascli.config.sections.space import Point
from kerascli.config.yaml.document import Document
from kerascli.foundation.disk import storage
from kerascli.foundation.errors import Interrupted, KerasCliError, Paused, StorageError, first_line
from kerascli.foundation.events import Began, Event
from kerascli.foundation.interrupts import Signalled
from kerascli.runs.record import RunRecord, is_study
from kerascli.studies.facts import FINISHED, Status, TrialFacts, now
from kerascli.studies.folder import Member, Study
from kerascli.studies.pruning import is_pruned
from kerascli.studies.sampling import next_point
from kerascli.studies.values import by_epoch, by_fold, rows_of
from kerascli.workflow.bases import open_config
from kerascli.workflow.fitting.memory_estimate import peak_bytes
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.train import resume, start
from kerascli.workflow.tuning.folds import number_of_folds, trial_folds
from kerascli.workflow.tuning.study_config import reopened
from kerascli.workflow.tuning.upkeep import keep_weights, stop_after_failures

FREE_BYTES = 64 * 1000**2
"""Free disk space below which no trial is started."""
MOST_STARTS = 10
"""Number of starts after which a trial whose process was killed each time counts as failed."""


@dataclass(slots=True)
class Worker:
    """Worker that trains trials of a study, one after the other."""

    study: Study
    index: int = 0
    """Number of the worker among those of its command, which decides on its GPU."""
    deadline: float | None = None
    """Time in seconds (since the epoch of the clock) after which no trial is started; None: no limit."""
    _finished: set[int] = field(default_factory=set)
    _first_bytes: int = 0
    """Peak of the memory of the process in its first trial."""

    def work(self) -> bool:
        """Train trials until none is left to claim; return True if a new process is to go on.

        That is so after a failed trial, or if the memory of this process has grown by half.
        """
        document = reopened(self.study)
        while True:
            with self._claim() as member:
                if member is None:
                    return False
                facts = self._begun(member, document)
                if facts.starts <= MOST_STARTS:
                    facts = self._trained(member, document, facts)
                else:
                    facts = _ended(facts, "failed", f"its process was killed {MOST_STARTS} times")
                if facts.status == "running":  # the study was stopped
                    return False
                member.write(facts)
            with self.study.locked():
                keep_weights(self.study)
                if facts.status == "failed":
                    stop_after_failures(self.study)
            if facts.status == "failed" or self._has_grown():
                return True

    @contextmanager
    def _claim(self) -> Iterator[Member | None]:
        """Context manager that claims the first trial that is neither finished nor claimed; None if there is none."""
        for number in range(1, self.study.facts.trials + 1):
            if number in self._finished:
                continue
            if self.study.stopped() is not None or (self.deadline is not None and time.time() > self.deadline):
                break
            member = self.study.member(number)
            member.create()
            with member.claimed() as is_mine:
                facts = member.facts() if is_mine else None  # of a moment in which nobody else writes it
                if is_mine and facts is not None and facts.status in FINISHED:
                    self._finished.add(number)
                elif is_mine:
                    yield member
                    return
        yield None

    def _begun(self, member: Member, document: Document) -> TrialFacts:
        """Return the facts about a claimed trial, written before it is trained: its point, unless it has one."""
        if (free := shutil.disk_usage(self.study.path).free) < FREE_BYTES:
            text = f"only {storage.size_text(free)} of disk space are left: no further trial is started"
            raise StorageError(text, hint=f"free some, then kerascli tune --resume {self.study.path}")
        facts = member.facts()
        if facts is None:
            number, (point, seen) = int(member.name), self._point(int(member.name), document)
            flags, sets = self.study.tune.space.values(point) if number > 1 else ({}, {})
            facts = TrialFacts(number=number, point=dict(point), flags=flags, sets=sets, seen=seen, started=now())
        else:
            facts = facts.model_copy(update={"starts": facts.starts + 1})
        here = {"host": socket.gethostname(), "processor": platform.processor() or platform.machine()}
        facts = facts.model_copy(update=here)
        member.write(facts)
        return facts

    def _point(self, number: int, document: Document) -> tuple[Point, list[int]]:
        """Return (point of a trial, numbers of the trials that it depends on)."""
        study, settings = self.study, self.study.facts
        written = written_point(document, settings.flags, study.tune.space)
        if number == 1:
            return written, []
        earlier = study.trials(below=number) if study.tune.sampler == "tpe" else []
        point = next_point(study.tune, settings.seed, number, written, earlier, settings.directions)
        return point, [each.number for each in earlier]

    def _trained(self, member: Member, document: Document, facts: TrialFacts) -> TrialFacts:
        """Train a trial, or resume it, and return the facts about how it ended; unchanged if its study was stopped."""
        watch, began = _Watch(self.study, member), time.monotonic()
        try:
            for event in self._events(member, document, facts, watch):
                if isinstance(event, Began):
                    self._compare_data(member.runs[0].record)
        except (Interrupted, Signalled):
            member.write(facts.model_copy(update={"starts": facts.starts - 1}))
            raise
        except Paused as paused:
            if not watch.pruned:
                return facts
            facts = _ended(facts, "pruned", str(paused))
        except StorageError:
            raise
        except Exception as error:
            text = error.faults[0].text if isinstance(error, KerasCliError) else first_line(error)
            return _ended(facts, "failed", text)
        seconds, mode = (
            facts.seconds + time.monotonic() - began,
            str(member.runs[0].record.facts().get("execution_mode")),
        )
        return self._measured(member, facts.model_copy(update={"seconds": seconds, "mode": mode}))

    def _measured(self, member: Member, facts: TrialFacts) -> TrialFacts:
        """Return the facts about a trial that was trained or pruned, with the values of the objectives."""
        objectives, epochs = self.study.tune.objective, sum(len(rows_of(run)) for run in member.runs)
        values = [by_fold(member, *each)[-1] for each in zip(objectives, self.study.facts.directions, strict=True)]
        kept = [value for value in values if value is not None]
        facts = facts.model_copy(update={"values": kept, "epochs": epochs})
        if facts.status == "pruned":
            return facts
        if len(kept) < len(values):
            return _ended(facts, "failed", f"{objectives[values.index(None)].name} has no finite value")
        return _ended(facts, "completed")

    def _events(self, member: Member, document: Document, facts: TrialFacts, watch: "_Watch") -> Iterator[Event]:
        settings, record = self.study.facts, member.record
        options = Options(
            folder=record.path, runs_dir=self.study.path.parent, device=self._own_device(), threads=settings.threads,
            mode=settings.mode, pause=watch, command=["tune", "--join", str(self.study.path)],
        )  # fmt: skip
        if record.has_begun:
            return iter(()) if record.facts()["status"] in ("completed", "stopped") else resume(record, options, ())
        written, flags = config_at(document, settings.flags, (facts.flags, facts.sets))
        opened = partial(open_config, written, flags=flags, runs_dir=options.runs_dir)
        config = opened(fold=1)
        if (folds := number_of_folds(config, written)) is not None:
            return trial_folds(self.study, member, folds, opened, options, watch.after_fold)
        return start(config, options)

    def _own_device(self) -> str:
        """Return the device of this worker's trials: of several GPUs, each worker has one in turn."""
        count = torch.cuda.device_count() if self.study.facts.device in ("auto", "cuda") else 0
        return f"cuda:{self.index % count}" if count else self.study.facts.device

    def _compare_data(self, record: RunRecord) -> None:
        """Record the digests of the data with the first trial; later raise DataError if they are others.

        Where the search space varies the data, trials have digests of their own.
        """
        if any(path.startswith("data") for path in self.study.tune.space.sets):
            return
        digests = record.facts()["data"]
        with self.study.locked():
            study = Study(self.study.path)  # another worker may have recorded them
            if not study.facts.data:
                study.write(study.facts.model_copy(update={"data": digests}))
            elif list(study.facts.data.values()) != list(digests.values()):
                raise StorageError("the data has changed since the study began", hint="start a new study")

    def _has_grown(self) -> bool:
        """Return True if the memory of this process has grown by half since its first trial."""
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        peak = peak_bytes(torch.device("cpu")) or 0
        self._first_bytes = self._first_bytes or peak
        return peak > 1.5 * self._first_bytes


@dataclass(slots=True)
class _Watch:
    """Decision after each epoch of a trial whether it is stopped: it is pruned, or its study was stopped."""

    study: Study
    member: Member
    pruned: bool = False

    def __call__(self, epoch: int) -> str | None:
        if (reason := self.study.stopped()) is not None:
            return f"the study was stopped: {reason}"
        pruner, (objective, *_), (way, *_) = (
            self.study.tune.pruner,
            self.study.tune.objective,
            self.study.facts.directions,
        )
        if pruner is None or is_study(self.member.path):
            return None
        others = (each for each in self.study.members() if each.name != self.member.name)
        values = [by_epoch(rows_of(each), objective, way) for each in others]
        own = by_epoch(rows_of(self.member), objective, way)
        self.pruned = is_pruned(pruner, own, values)
        return f"pruned after epoch {epoch}" if self.pruned else None

    def after_fold(self) -> None:
        """Raise Paused if the trial is pruned: its mean over the folds so far is compared with that of other trials."""
        pruner, objective, way = self.study.tune.pruner, self.study.tune.objective[0], self.study.facts.directions[0]
        if pruner is None:
            return
        own, *others = (
            [(-1 if way == "min" else 1) * mean for mean in by_fold(each, objective, way) if mean is not None]
            for each in (self.member, *(each for each in self.study.members() if each.name != self.member.name))
        )
        done = len(own)
        if is_pruned(pruner, own[-1:] * done, [each[done - 1 : done] * done for each in others]):
            self.pruned = True
            raise Paused(f"pruned after fold {done}")


def _ended(facts: TrialFacts, status: Status, reason: str | None = None) -> TrialFacts:
    return facts.model_copy(update={"status": status, "reason": reason, "ended": now()})
