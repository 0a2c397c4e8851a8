"""Make trainings on several processes fail at random moments, and check what is left: `python -m benchmarks.failures`.

After each failure all processes must end soon, one reason must be printed and recorded, the newest checkpoint must be
intact, and the resumed run must have the weights of one that nothing happened to, to the bit. With `--distribute fsdp`,
whose bits depend on the number of processes, it is resumed on as many as before; else on 1, 2 or 4.
"""

import argparse
import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.failing_run import (
    CONFIGS,
    DIVISIONS,
    FAILURES,
    MOMENTS,
    PLUGIN,
    TIMEOUT_SECONDS,
    Case,
    TooLate,
    config,
    run_in,
    strike,
)
from kerascli.foundation.disk import locks
from kerascli.foundation.errors import KerasCliError
from kerascli.runs.checkpoints import Checkpoints
from tests.support.processes import Ended, Launched

END_SECONDS = 8.0
"""Time in which all processes must have ended after a failure; a stopped one counts after the --timeout."""
OPTIONS = ("--threads", "1", "--device", "cpu", "--quiet")
_ATTEMPTS = 6
_PATIENCE_SECONDS = 600.0


@dataclass(slots=True)
class Result:
    """Result of one injected failure; `wrong` lists the facts that are not as they should be."""

    case: Case
    seconds: float = 0.0
    codes: list[int | None] = field(default_factory=list)
    reason: str = ""
    resumed: str = ""
    wrong: list[str] = field(default_factory=list)

    def row(self) -> list[str]:
        case = self.case
        what = [case.failure, case.moment, f"{case.rank} of {case.processes}", f"{self.seconds:.1f}"]
        return [*what, " ".join(map(str, self.codes)), self.reason[:58], self.resumed, "; ".join(self.wrong) or "yes"]


def main() -> None:
    """Run the cases that the command line asks for, print a table, and exit with 1 if one is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.failures", description=__doc__)
    parser.add_argument("--cases", type=int, default=48)
    parser.add_argument("--processes", type=int, choices=(2, 4))
    parser.add_argument("--distribute", choices=DIVISIONS, default="ddp")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    found: list[Result] = []
    with tempfile.TemporaryDirectory() as folder:
        counts = _counts(given) if given.distribute == "fsdp" else (1,)
        whole = {(name, on): _whole(Path(folder), name, on, given.distribute) for name in CONFIGS for on in counts}
        print("failure | at | process | seconds | codes | reason in run.json | resumed | as it should be", flush=True)
        for number, case in enumerate(itertools.islice(_cases(given), given.cases)):
            found.append(_tried(case, Path(folder) / str(number), whole))
            print(" | ".join(found[-1].row()), flush=True)
    failed = [result for result in found if result.wrong]
    slowest = max((result.seconds for result in found), default=0.0)
    print(f"\n{len(found)} failures, {len(failed)} not as they should be; all ended within {slowest:.1f} s")
    for result in failed:
        print(f"{result.case}: {'; '.join(result.wrong)}")
    sys.exit(bool(failed))


def _cases(given: argparse.Namespace) -> Iterator[Case]:
    """Yield cases in random order, each kind once before any comes again."""
    chance = random.Random(given.seed)
    kinds = list(itertools.product(FAILURES, (True, False), MOMENTS, _counts(given)))
    while True:
        chance.shuffle(kinds)
        for failure, leads, moment, processes in kinds:
            rank = 0 if leads else chance.randrange(1, processes)
            yield Case(failure, rank, moment, processes, chance.getrandbits(32), given.distribute)


def _counts(given: argparse.Namespace) -> tuple[int, ...]:
    return (given.processes,) if given.processes else (2, 4)


def _whole(parent: Path, name: str, processes: int, distribute: str) -> bytes:
    """Return the weights of a training that nothing happens to."""
    folder = parent / f"whole-{name}-{processes}"
    _write(folder, name, distribute)
    ended = Launched([("train", f"{name}.yaml", *OPTIONS)], processes, folder).wait(_PATIENCE_SECONDS)
    run = run_in(folder)
    assert set(ended.codes) == {0}, ended.text
    assert run is not None
    return (run / "model.safetensors").read_bytes()


def _write(folder: Path, name: str, distribute: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / f"{name}.yaml").write_text(config(name, distribute))
    (folder / "obedient.py").write_text(PLUGIN)


def _tried(case: Case, folder: Path, whole: dict[tuple[str, int], bytes]) -> Result:
    """Return the result of a case; one whose moment was missed is tried again."""
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(TooLate):
            return _result(case, folder, whole[case.config, case.processes if case.distribute == "fsdp" else 1])
    return Result(case, wrong=["the moment was missed"])


def _result(case: Case, folder: Path, whole: bytes) -> Result:
    _write(folder, case.config, case.distribute)
    command = ("train", f"{case.config}.yaml", *OPTIONS, "--timeout", str(TIMEOUT_SECONDS))
    launched = Launched([command], case.processes, folder)
    try:
        struck = strike(case, launched, folder)
    except TooLate:
        launched.wait(0.1)
        raise
    result = Result(case)
    for rank, process in enumerate(launched.processes):
        if case.failure != "SIGSTOP" or rank != case.rank:
            process.join(max(0.0, struck + 60 - time.monotonic()))
    result.seconds = time.monotonic() - struck - (TIMEOUT_SECONDS if case.failure == "SIGSTOP" else 0)
    if case.failure == "SIGSTOP":
        _end_stopped(case, launched, result)
    ended = launched.wait(1.0)
    result.codes = ended.codes
    if _ended_before(case, ended):
        raise TooLate
    _check(case, ended, folder, result)
    _check_resumed(folder, whole, result)
    return result


def _end_stopped(case: Case, launched: Launched, result: Result) -> None:
    """Let the stopped process go on, if no other one has, which must end it; or kill it, as a launcher does."""
    process = launched.processes[case.rank]
    assert process.pid is not None
    is_killed = case.seed % 2 or case.moment == "start"
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL if is_killed else signal.SIGCONT)
    if is_killed:
        return
    process.join(END_SECONDS)
    if process.exitcode is None:
        result.wrong.append("the stopped process goes on")


_CODES = {"SIGTERM": 143, "raises": 2}
"""Exit code of the processes that a failure of another one ends, if it can say why."""


def _ended_before(case: Case, ended: Ended) -> bool:
    """Return True if the training was over before the failure had an effect."""
    if case.failure == "SIGTERM":
        return case.moment in ("test", "epoch end") and set(ended.codes) != {143} and set(ended.codes) <= {0, 143}
    return ended.codes.count(0) >= len(ended.codes) - 1 and 5 not in ended.codes


def _check(case: Case, ended: Ended, folder: Path, result: Result) -> None:
    """Check the time, what was printed, and the rest of it if the run had begun."""
    wrong = result.wrong
    if result.seconds > END_SECONDS:
        wrong.append(f"took {result.seconds:.1f} s to end")
    outputs = [text for rank, text in enumerate(ended.outputs) if case.failure != "SIGSTOP" or rank != case.rank]
    reasons = sum("error:" in line for text in outputs for line in text.splitlines())
    if reasons != 1 or "Traceback" in ended.text:
        wrong.append(f"{reasons} reasons printed: {ended.text!r}")
    run = run_in(folder)
    if run is None or not (run / "run.json").exists():
        if 0 in ended.codes:
            wrong.append(f"exit codes {ended.codes}")
        return
    others = {code for rank, code in enumerate(ended.codes) if rank != case.rank}
    expected = {"SIGKILL": {-9}, "raises": {2}, "SIGTERM": {143}, "SIGSTOP": {5, -9}}[case.failure]
    if ended.codes[case.rank] not in expected or others != {_CODES.get(case.failure, 5)}:
        wrong.append(f"exit codes {ended.codes}")
    _check_facts(case, json.loads((run / "run.json").read_text()), result)
    _check_files(run, wrong, swept=case.failure != "SIGSTOP" or case.rank > 0)


def _check_facts(case: Case, facts: dict[str, Any], result: Result) -> None:
    """Check that run.json says how the run ended; a process 0 that is stopped cannot."""
    result.reason = str(facts.get("reason"))
    if case.rank == 0 and case.failure == "SIGSTOP":
        return
    status = "interrupted" if case.failure == "SIGTERM" else "failed"
    is_known = case.processes == 2 or case.rank == 0
    lost = f"process {case.rank} of {case.processes}" if is_known else "a process ended without a reason"
    who = {"SIGTERM": "interrupted", "raises": "told to raise"}.get(case.failure, lost)
    if facts.get("status") != status or who not in result.reason:
        result.wrong.append(f"run.json: {facts.get('status')}, {facts.get('reason')}")


def _check_files(run: Path, wrong: list[str], *, swept: bool) -> None:
    """Check that no lock and, if the others have `swept` it away, no half-written file is left; and the checkpoints."""
    if locks.locked(run):
        wrong.append("the run is locked")
    if swept and (left := [path.name for path in run.rglob(".*.tmp-*")]):
        wrong.append(f"left: {left}")
    checkpoints = Checkpoints(run / "checkpoints")
    try:
        damaged = checkpoints.newest().warnings if checkpoints.steps() else ()
    except KerasCliError as error:
        damaged = [str(error)]
    if damaged:
        wrong.append(f"damaged: {damaged}")


def _check_resumed(folder: Path, whole: bytes, result: Result) -> None:
    """Resume the run, and compare its weights with those of the undisturbed training."""
    for told in folder.glob("raise-*"):
        told.unlink()
    run = run_in(folder)
    if run is None or not (run / "run.json").exists():
        result.resumed = "no run"
        return
    case = result.case
    processes = case.processes if case.distribute == "fsdp" else random.Random(case.seed).choice((1, 1, 2, 4))
    ended = Launched([("train", "--resume", str(run), "--quiet")], processes, folder).wait(_PATIENCE_SECONDS)
    result.resumed = f"on {processes}"
    if set(ended.codes) != {0}:
        result.wrong.append(f"resume: {ended.codes} {ended.text!r}")
    elif (run / "model.safetensors").read_bytes() != whole:
        result.wrong.append("other weights than without the failure")
    _check_files(run, result.wrong, swept=True)


if __name__ == "__main__":
    main()
