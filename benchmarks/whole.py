"""Whole processes, from prompt to prompt: configs/mnist_mlp.yaml to its end, by kerascli and by its peers' scripts."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from benchmarks import processes
from benchmarks.epochs import SETTLE_SECONDS, in_turn
from benchmarks.outcomes import Outcome, outcome_table, ratio_table
from benchmarks.peers import TIERS, is_ours
from benchmarks.processes import Died
from benchmarks.session import Session
from benchmarks.workloads import WORKLOADS

NAME = "mnist_mlp"
WORK = WORKLOADS[NAME]
ROUNDS, QUICK_ROUNDS = 3, 1


@dataclass(frozen=True, slots=True)
class Program:
    command: list[str]
    env: Callable[[], dict[str, str]]
    """Made anew for every run: a cold cache is one that nothing has used."""


def measure(session: Session) -> Iterator[str]:
    """Yield the tables. Each value is of a new process; memory is that of its largest one at its peak."""
    session.prepare(NAME, [peer for peer in session.peers if not is_ours(peer)], WORK.rows)
    rounds = session.rounds or (QUICK_ROUNDS if session.quick else ROUNDS)
    trained = run_all(_training(session), rounds)
    about = f"configs/mnist_mlp.yaml ({WORK.title}): {session.epochs} epochs, then the test digits."
    yield "\n\n".join(["### training", about, outcome_table(trained, "seconds"), ratio_table({"training": trained})])


def run_all(programs: Mapping[str, Program], rounds: int, *, settle: float = SETTLE_SECONDS) -> list[Outcome]:
    """Run every program once a round, in turn."""
    found = {name: Outcome(name, peak_mib=0.0) for name in programs}
    for number in range(rounds):
        for name in in_turn([name for name, each in found.items() if each.error is None], number):
            time.sleep(settle)
            with found[name].noting_death():
                finished = processes.run(programs[name].command, programs[name].env())
                found[name].hear(finished.stderr)
                found[name].seconds.append(finished.seconds)
                found[name].peak_mib = max(found[name].peak_mib or 0.0, finished.peak_mib)
    return list(found.values())


def _training(session: Session) -> dict[str, Program]:
    programs: dict[str, Program] = {}
    for name in session.peers:
        if is_ours(name):
            programs |= _by_cache(session, name)
        else:
            job = session.job(name, NAME, epochs=session.epochs)
            programs[name] = Program(session.child("script", job.to_json()), lambda name=name: session.env(name))
    return programs


def _by_cache(session: Session, name: str) -> dict[str, Program]:
    """What may compile is run twice: with empty caches, and with those that a compiled run has filled."""
    program = _kerascli_train(session, name)
    if name == "kerascli-traced":
        return {name: program}
    warm = session.env(caches=session.empty_caches())
    with suppress(Died):  # the measured run will die of the same
        processes.run(program.command, warm)
    return {
        f"{name}-cold": replace(program, env=lambda: session.env(caches=session.empty_caches())),
        f"{name}-warm": replace(program, env=lambda: warm),
    }


def _kerascli_train(session: Session, name: str) -> Program:
    sets = ("seed=1", f"fit.epochs={session.epochs}", *TIERS[name])
    options = ["--runs-dir", str(session.folder), *(word for each in sets for word in ("--set", each))]
    return Program(
        [str(session.python), "-m", "kerascli", "train", str(session.job(name, NAME).config), *options], session.env
    )
