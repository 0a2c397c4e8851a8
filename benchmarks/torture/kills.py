"""python -m benchmarks.torture.kills: kill a process at random moments while it saves checkpoints.

It saves one after the other and says when each is done. After every kill -9 the newest checkpoint must be whole, and
no older than the last that was said to be done; so must `best`. Whole processes train a tiny config, are killed again
and again, and must end bit-identical.
"""

import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.torture import tiny
from benchmarks.torture.cases import Given, Tally, main
from benchmarks.torture.children import fork
from benchmarks.torture.crashes import compared
from benchmarks.torture.disk import without_waiting, write_in_place

SIZE = 200_000
"""Bytes of a checkpoint's file: enough that a kill falls into the middle of one."""


def contents(step: int) -> dict[str, bytes]:
    """Return the files of a checkpoint, which tell its step."""
    return {"training.safetensors": step.to_bytes(4, "big") * (SIZE // 4), "extra": step.to_bytes(4, "big") * 100}


def save_on_and_on(folder: Path, first: int, said: int, *, broken: bool) -> None:
    """Save checkpoints without end; every step goes down the pipe once it is done."""
    from kerascli.runs.checkpoints import Checkpoints

    without_waiting()
    if broken:
        write_in_place()
    checkpoints = Checkpoints(folder)
    checkpoints.settle(first - 1)  # as a resume does
    for step in range(first, first + 10**6):
        slots = ("best",) if step % 3 == 0 else ()
        checkpoints.save(step, contents(step), {"step": step}, slots=slots)
        os.write(said, step.to_bytes(4, "big"))


def kill_while_saving(folder: Path, first: int, luck: random.Random, *, broken: bool) -> tuple[int, str | None]:
    """Kill a process that saves; returns the newest step, and what is wrong."""
    reader, writer = os.pipe()
    pid = fork(lambda: save_on_and_on(folder, first, writer, broken=broken))
    os.close(writer)
    select.select([reader], [], [], 60)  # it has begun
    time.sleep(luck.uniform(0, 0.02))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    done = 0
    while piece := os.read(reader, 4096):
        done = int.from_bytes(piece[-4:], "big")
    os.close(reader)
    return look(folder, done)


def look(folder: Path, done: int) -> tuple[int, str | None]:
    """Return the newest step, and what is wrong when all up to `done` were said to be saved."""
    from kerascli.foundation.errors import KerasCliError
    from kerascli.runs.checkpoints import Checkpoints

    found = Checkpoints(folder)
    try:
        newest, best = found.newest(), found.named("best")
    except KerasCliError as error:
        return done, str(error)
    if newest.warnings:
        return newest.step, newest.warnings[0]
    if newest.step < done:
        return done, f"step {done} was saved, but the newest is {newest.step}"
    if best.step < done - done % 3:
        return newest.step, f"best was saved at step {done - done % 3}, but is of step {best.step}"
    mixed = [each.step for each in (newest, best) if dict(each.blobs) != contents(each.step)]
    return newest.step, f"the files of step {mixed[0]} are of another" if mixed else None


def kill_trainings(given: Given, tally: Tally) -> None:
    """Train as whole processes that are killed until the cases are used up; each training must end as if never."""
    tiny.write_config(given.folder)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    train = [sys.executable, "-c", _DRIVER, "in_place" if given.control else "", "train"]
    expected = None
    kills = 0
    while expected is None or kills < given.whole:
        runs = given.folder / "trained"
        shutil.rmtree(runs, ignore_errors=True)
        began = time.monotonic()
        while True:
            found = tiny.the_run(runs)
            goes_on = ["--resume", str(found)] if found and (found / "run.json").exists() else ["config.yaml"]
            if goes_on == ["config.yaml"]:
                shutil.rmtree(runs, ignore_errors=True)
            command = [*train, *goes_on, "--device", "cpu", "--runs-dir", "trained"]
            process = subprocess.Popen(
                command, cwd=given.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            if expected is not None and kills < given.whole:
                _kill_after_start(process, given.luck)
            _, err = process.communicate()
            if process.returncode != -signal.SIGKILL:
                break
            kills += 1
            tally.add(f"whole process, kill {kills}", "whole processes killed")
        found = tiny.the_run(runs)
        if process.returncode != 0 or found is None:
            tally.add(
                f"training of {time.monotonic() - began:.0f} s", "", f"exit code {process.returncode}: {err[-300:]}"
            )
            return
        if expected is None:
            expected = tiny.outcome(found)
        else:
            tally.add("training of whole processes", "trainings bit-identical after kills", compared(found, expected))


def _kill_after_start(process: "subprocess.Popen[str]", luck: random.Random) -> None:
    """Wait for the first line of the training, then a moment."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(("epoch", "run:", "resuming")):
            break
    time.sleep(luck.uniform(0, 0.3))
    process.kill()


_DRIVER = """
import os, sys
os.environ["OMP_NUM_THREADS"] = "1"
from benchmarks.torture import disk, tiny
tiny.often_saved()
if sys.argv.pop(1):
    disk.write_in_place()
from kerascli.cli.app import main
main()
"""


def torture(given: Given, tally: Tally) -> None:
    """Kill processes that save, and whole trainings."""
    import kerascli.runs.checkpoints  # noqa: F401  # before the forks

    folder, step = given.folder / "checkpoints", 3
    for number in range(given.cases or 0):
        if not folder.exists():
            from kerascli.runs.checkpoints import Checkpoints

            Checkpoints(folder).save(step, contents(step), {}, slots=("best",))
        step, fault = kill_while_saving(folder, step + 1, given.luck, broken=given.control)
        tally.add(f"kill {number}", "the newest checkpoint is whole", fault)
        if fault is not None or number % 50 == 49:
            shutil.rmtree(folder)
    if given.whole:
        kill_trainings(given, tally)


if __name__ == "__main__":
    sys.exit(main("kill -9 while saving", torture, cases=1000, whole=30))
