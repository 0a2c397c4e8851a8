"""Train the trials of a study by processes, until none is left that no other worker has claimed.

A command runs the workers and watches the study's folder. Commands of several hosts that share the folder first find
out whether file locks hold between them.
"""

import gc
import math
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from kerascli.config.composition.overrides import config_at
from kerascli.config.yaml.document import Document
from kerascli.foundation.disk import locks, storage
from kerascli.foundation.errors import Interrupted, KerasCliError, Paused, StorageError, first_line
from kerascli.foundation.events import Event
from kerascli.foundation.interrupts import deferred, end_with_parent
from kerascli.runs.environment import machine
from kerascli.runs.reading import quoted
from kerascli.runs.record import ended, is_study
from kerascli.studies.folder import Member, Study, TrialFacts
from kerascli.studies.sampling import by_epoch, by_fold, is_pruned, next_point
from kerascli.workflow.bases import open_config
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.tuning.folds import number_of_folds, train_folds, train_member
from kerascli.workflow.tuning.study_config import reopened

GO_ON = 75
"""Exit code of a worker that a new process is to follow; those for signals, which are higher, mean the same."""
FREE_BYTES = 64 * 1000**2
"""Free disk space below which no trial is started."""
MOST_KILLS = 10
"""Number of times after which a trial whose process was killed each time counts as failed."""
FAILURES = 3
"""Number of failed trials in a row that stops a study."""
Process = subprocess.Popen[bytes]
_POLL_SECONDS = 0.5
ALIVE_SECONDS = 10.0
"""Time in which a command on another host gives a sign of life, unless it has ended."""


def run_study(study: Study, workers: int, show: Callable[[], None]) -> int:
    """Train the trials of a study by worker processes; return 0, or the exit code of a worker that failed.

    `show` shows the study, again and again. Raises Interrupted after a signal, when the trials that were trained are
    saved.
    """
    code, deadline = 0, time.time() + (study.tune.timeout or math.inf)

    def started(index: int) -> Process:
        """Start a worker in a session of its own, so that Ctrl-C reaches the command alone, which passes it on."""
        command = [sys.executable, "-P", "-m", "kerascli", "tune", "--join", str(study.path)]
        command += ["--worker", f"{index},{deadline},{os.getpid()}"]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, start_new_session=True)

    with announced(study.path) as give_sign, deferred() as stop:
        processes = {index: started(index) for index in range(workers)}
        while processes and stop.number is None:
            give_sign()
            show()
            time.sleep(_POLL_SECONDS)
            code = _follow(processes, started) or code
        for process in processes.values():
            process.send_signal(stop.number or 0)
        for process in processes.values():
            process.wait()
        show()
        done = sum(each.status != "running" for each in study.trials())
        if stop.number is not None:
            text = f"interrupted; {done}{study.facts.of} trials are done, and those that were trained are saved"
            hint = f"go on: kerascli tune --resume {shlex.quote(str(study.path))}"
            raise Interrupted(text, signal_number=stop.number, hint=hint)
    if done >= (study.facts.trials or math.inf):
        settle(study, ended=True)
    return code


def _follow(processes: dict[int, Process], started: Callable[[int], Process]) -> int:
    """Start new workers for those that a signal has ended alone, or that ask for it; forget others that have ended.

    Returns the exit code of a worker that failed, else 0.
    """
    ended = {index: code for index, process in processes.items() if (code := process.poll()) is not None}
    for index, code in ended.items():
        del processes[index]
        if code < 0 or code >= GO_ON:
            processes[index] = started(index)
    return next((code for code in ended.values() if 0 < code < GO_ON), 0)


@contextmanager
def announced(study: Path) -> Iterator[Callable[[], None]]:
    """Context manager that announces this command to those of other hosts, by a file that it holds locked.

    It yields a function to call now and then, which is a sign of life to them. Raises StorageError if a command of
    another host lives whose lock is not seen here: each would train the trials of the other.
    """
    own = study / f"{socket.gethostname()}-{os.getpid()}.command"
    with locks.lock(study, name=own.name):
        if before := _unlocked(own):
            time.sleep(ALIVE_SECONDS)
            if any(before.get(file, sign) != sign for file, sign in _unlocked(own).items()):
                text = f"file locks in {quoted(study)} do not hold between hosts"
                hint = "use one host, or a file system with locks (NFSv4, Lustre with flock)"
                raise StorageError(f"{text}: {own.stem} does not see those of another", hint=hint)
        yield own.touch
    storage.remove_file(own)


def _unlocked(own: Path) -> dict[Path, int]:
    """Return the time of the last sign of life of each command of another host whose lock is not seen here."""
    signs: dict[Path, int] = {}
    for file in own.parent.glob("*.command"):
        is_other = file.name.rpartition("-")[0] != own.name.rpartition("-")[0]
        with suppress(FileNotFoundError):
            if is_other and not locks.locked(own.parent, file.name):
                signs[file] = file.stat().st_mtime_ns
    return signs


def run_worker(path: str, settings: str) -> int:
    """Train trials of a study in this process, as a worker of a command; return its exit code.

    `path` is the folder of the study. `settings` is the text `INDEX,DEADLINE,PID`: the fields `index` and `deadline` of
    the Worker, and the process id of the command, with which the worker ends.
    """
    end_with_parent(at_once=True)  # a trial that went on beside those of a resumed command would change their points
    index, deadline, parent = settings.split(",")
    if os.getppid() != int(parent):  # the command was killed while this process began
        return 0
    try:
        return Worker(Study(Path(path)), int(index), float(deadline)).work()
    except Interrupted as error:  # the command says so
        return error.exit_code


@dataclass(frozen=True, slots=True)
class Worker:
    """Worker that trains trials of a study, one after the other."""

    study: Study
    index: int = 0
    """Number of the worker among those of its command, which decides on its GPU."""
    deadline: float = math.inf
    """Time in seconds (since the epoch of the clock) after which no trial is started."""

    def work(self) -> int:
        """Train trials until none is left to claim, or one has failed; return the exit code: 0, or then GO_ON."""
        document = reopened(self.study)
        while self.study.stopped() is None and time.time() <= self.deadline:
            with ExitStack() as claim:
                if (member := self._claim(claim)) is None:
                    return 0
                facts = member.write_trial(self._trained(member, document, self._begun(member, document)))
            settle(self.study)
            gc.collect()  # a GPU may not hold two trials
            if facts.status == "failed":  # it may have left the GPU, or memory, in disorder
                return GO_ON
        return 0

    def _claim(self, claim: ExitStack) -> Member | None:
        """Claim the first trial that is neither finished nor claimed, until `claim` ends; None if there is none."""
        finished = {each.number for each in self.study.trials() if each.status != "running"}
        numbers = range(1, (self.study.facts.trials or 10**9) + 1)
        for member in (self.study.member(number) for number in numbers if number not in finished):
            with suppress(locks.Locked):
                claim.enter_context(member.claimed())
                if (facts := member.trial()) is None or facts.status == "running":  # it may have ended meanwhile
                    return member
                claim.close()
        return None

    def _begun(self, member: Member, document: Document) -> TrialFacts:
        """Return the facts about a claimed trial, written before it is trained: its point, unless it has one."""
        if (free := shutil.disk_usage(self.study.path).free) < FREE_BYTES:
            text = f"only {storage.size_text(free)} of disk space are left: no further trial is started"
            raise StorageError(text, hint=f"free some, then kerascli tune --resume {shlex.quote(str(self.study.path))}")
        tune, settings, facts, here = self.study.tune, self.study.facts, member.trial(), machine()
        was_killed = facts is not None and member.runs[-1].status() == "killed"
        if facts is None:
            number, written = int(member.path.name), tune.space.written(document)
            earlier = [each for each in self.study.trials() if each.number < number] if tune.sampler == "tpe" else []
            point = next_point(tune, settings.seed, number, written, earlier, settings.directions)
            sets = tune.space.values(point) if number > 1 else {}
            facts = TrialFacts(number=number, point=dict(point), sets=sets, seen=[each.number for each in earlier])
        begun = {"host": here["host"], "processor": here["cpu"], "kills": facts.kills + was_killed}
        return member.write_trial(facts.model_copy(update=begun))

    def _trained(self, member: Member, document: Document, facts: TrialFacts) -> TrialFacts:
        """Train a trial, or resume it, and return the facts about how it ended; unchanged if its study was stopped."""
        began, status, reason = time.monotonic(), "completed", None
        try:
            if facts.kills >= MOST_KILLS:
                raise KerasCliError(f"its process was killed {facts.kills} times")
            for _ in self._events(member, document, facts):
                pass
        except Paused as paused:
            if self.study.stopped() is not None:
                return facts
            status, reason = "pruned", str(paused)
        except (Interrupted, StorageError):
            raise
        except Exception as error:
            status, reason = "failed", first_line(error)
        measured = {} if status == "failed" else self._measured(member)
        seconds = facts.seconds + time.monotonic() - began
        return facts.model_copy(update={**ended(status, reason=reason), "seconds": seconds, **measured})

    def _measured(self, member: Member) -> dict[str, Any]:
        """Return the facts about a trained trial that its runs have; it has failed without a finite value."""
        runs, values = member.runs, list[float]()
        for objective, way in zip(self.study.tune.objective, self.study.facts.directions, strict=True):
            score = by_fold(member, objective, way)[-1]
            if not math.isfinite(score):
                return {"status": "failed", "reason": f"{objective.name} has no finite value"}
            values.append(-score if way == "min" else score)
        tests = [TrialFacts(number=0, results=(run.facts()["results"] or {}).get("test", {})).results for run in runs]
        return {
            "values": values, "epochs": sum(len(run.rows()) for run in runs), "mode": runs[0].facts()["execution_mode"],
            "results": {f"test {name}": fmean(each[name] for each in tests) for name in tests[-1]},
        }  # fmt: skip

    def _events(self, member: Member, document: Document, facts: TrialFacts) -> Iterator[Event]:
        """Train the run of a trial, or those of its folds, and yield events."""
        settings, document = self.study.facts, config_at(document, facts.sets)
        options = Options(
            runs_dir=self.study.path.parent, device=self.device(), threads=settings.threads, mode=settings.mode,
            pause=partial(self._pause, member), command=["tune", "--join", str(self.study.path)],
        )  # fmt: skip
        config = open_config(document, runs_dir=options.runs_dir)
        if (folds := number_of_folds(config)) is None:
            yield from train_member(member, config, options)
            return
        trial = Study(member.path)
        if not is_study(member.path):
            trial.write(settings.model_copy(update={"trials": folds, "tune": None, "directions": []}))
        yield from train_folds(trial, document, options, None)

    def _pause(self, member: Member, at: str) -> str | None:
        """Return the reason why a trial is stopped after an epoch or fold: its study was, or it is pruned."""
        if (reason := self.study.stopped()) is not None:
            return f"the study was stopped: {reason}"
        tune, has_folds = self.study.tune, member.runs[0] is not member
        if tune.pruner is None or at.startswith("epoch") is has_folds:  # with folds between them alone
            return None
        trials = [member, *(each for each in self.study.members() if each.path != member.path)]
        first = tune.objective[0], self.study.facts.directions[0]
        own, *others = [by_fold(each, *first) if has_folds else by_epoch(each.rows(), *first) for each in trials]
        return f"pruned after {at}" if is_pruned(tune.pruner, own, others) else None

    def device(self) -> str:
        """Return the device of this worker's trials: the workers of a command are assigned its GPUs in turn."""
        count = torch.cuda.device_count() if self.study.facts.device in ("auto", "cuda") else 0
        return f"cuda:{self.index % count}" if count else self.study.facts.device


def settle(study: Study, *, ended: bool = False) -> None:
    """Remove the weights that `tune.keep` does not keep; stop a study if the trials that ended last have all failed.

    Pruned and failed trials keep their checkpoints until the study has `ended`.
    """
    with locks.lock(study.path, patience_seconds=30):
        trials, keep = study.trials(), study.tune.keep
        kept = {each.number for each in (study.best() if keep == "best" else trials if keep == "all" else ())}
        for each in trials:
            if each.number not in kept and (each.status != "running" if ended else each.status == "completed"):
                for run in study.member(each.number).runs:
                    run.remove_weights()
        last = sorted((each for each in trials if each.ended is not None), key=lambda each: str(each.ended))[-FAILURES:]
        if not ended and [each.status for each in last] == ["failed"] * FAILURES:
            study.stop(f"{FAILURES} trials in a row have failed, the last one with: {last[-1].reason}")
