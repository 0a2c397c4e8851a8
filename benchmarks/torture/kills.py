"""python -m benchmarks.torture.kills: kill a process at random moments while it saves checkpoints.

It saves one after the other and says when each is done. After every kill -9 the newest checkpoint must be whole, and
no older than the last that was said to be done; so must `best`.
"""

import os
import random
import select
import shutil
import signal
import sys
import time
from pathlib import Path

from benchmarks.torture.cases import Given, Tally, main
from benchmarks.torture.children import fork
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


def torture(given: Given, tally: Tally) -> None:
    """Kill processes that save."""
    from kerascli.runs.checkpoints import Checkpoints  # before the forks

    folder, step = given.folder / "checkpoints", 3
    for number in range(given.cases or 0):
        if not folder.exists():
            Checkpoints(folder).save(step, contents(step), {}, slots=("best",))
        step, fault = kill_while_saving(folder, step + 1, given.luck, broken=given.control)
        tally.add(f"kill {number}", "the newest checkpoint is whole", fault)
        if fault is not None or number % 50 == 49:
            shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main("kill -9 while saving", torture, cases=1000, whole=0))
