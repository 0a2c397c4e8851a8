"""Seconds an epoch: all peers of a workload alive at once, one at work at a time."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack

from benchmarks.machine import stolen_seconds
from benchmarks.outcomes import Outcome, outcome_table, overview
from benchmarks.peers import takes_part
from benchmarks.processes import Died, Epoch, Worker
from benchmarks.session import Session
from benchmarks.workloads import WORKLOADS, Job

UNIT = "seconds an epoch"
SETTLE_SECONDS = 0.2
"""Pause in seconds before each measurement, in which the threads of the previous one stop spinning."""
LEAST_ROUNDS, MOST_ROUNDS = 3, 9
QUIET, TRIES = 0.03, 8
"""Share of the cores' time that the host of a virtual machine may give to others during a measured epoch, and the most
times that an epoch is measured until it is so: a step waits for the slowest core."""
MOST_EPOCHS = 1 + MOST_ROUNDS * (1 + TRIES)
SHARE_SECONDS = 6.0
"""Time in seconds that the slowest peer of a workload is measured for; the number of rounds stays in these bounds."""


def measure(session: Session) -> Iterator[str]:
    """Yield a table for each workload, then the ratios of all."""
    outcomes: dict[str, list[Outcome]] = {}
    for name in session.works:
        work = WORKLOADS[name]
        rows = work.quick_rows if session.quick else work.rows
        peers = [peer for peer in session.peers if takes_part(peer, work)]
        began = time.perf_counter()
        try:
            session.prepare(name, peers, rows)
        except Died as error:
            yield f"### {name}\n\nfailed: `{error}`"
            continue
        prepared = time.perf_counter()
        outcomes[name] = race(session, {peer: session.job(peer, name, epochs=MOST_EPOCHS) for peer in peers})
        took = f"{prepared - began:.0f} s to prepare, {time.perf_counter() - prepared:.0f} s to measure"
        yield f"### {name}\n\n{work.title}: {rows:,} rows, {took}\n\n{outcome_table(outcomes[name], UNIT)}"
    yield overview(outcomes)


def race(session: Session, jobs: Mapping[str, Job]) -> list[Outcome]:
    with ExitStack() as stack:
        workers = {
            peer: stack.enter_context(Worker(session.child("epochs", job.to_json()), session.env(peer)))
            for peer, job in jobs.items()
        }
        return take_turns(workers, session.rounds or (2 if session.quick else None))


def take_turns(workers: Mapping[str, Worker], rounds: int | None, *, settle: float = SETTLE_SECONDS) -> list[Outcome]:
    """Let all train two epochs a round, in turn, and time the second; round 0 is the warm-up of one. Who dies is left
    out from there on."""
    found = {name: Outcome(name) for name in workers}
    for name, worker in workers.items():
        with found[name].noting_death():
            worker.wait_ready()
    number = 0
    while number <= (rounds or (_affordable(found.values()) if number > 1 else 1)):
        for name in in_turn([name for name, each in found.items() if each.error is None], number):
            time.sleep(settle)
            with found[name].noting_death():
                _turn(found[name], workers[name], warm_up=number == 0)
        number += 1
    for name, worker in workers.items():
        if found[name].error is None:
            with found[name].noting_death():
                found[name].peak_mib = worker.end()
                found[name].hear(worker.said())
    return list(found.values())


def in_turn(members: Sequence[str], number: int) -> list[str]:
    """The order of a round (from 0): rotated by one each round, and every second time round backwards, so that no one
    always follows the same load."""
    if not members:
        return []
    first = number % len(members)
    order = [*members[first:], *members[:first]]
    return order[::-1] if number // len(members) % 2 else order


def _affordable(found: Iterable[Outcome]) -> int:
    slowest = max((each.seconds[0] for each in found if each.error is None), default=SHARE_SECONDS)
    return max(LEAST_ROUNDS, min(int(SHARE_SECONDS / slowest), MOST_ROUNDS))


def _turn(outcome: Outcome, worker: Worker, *, warm_up: bool) -> None:
    if warm_up:
        epoch = worker.epoch()
        outcome.first = epoch.seconds
    else:
        worker.epoch()  # the system may have paged out the code of a process that waited
        epoch, stolen = _quiet_epoch(worker)
        outcome.seconds.append(epoch.seconds)
        outcome.stolen = max(outcome.stolen, stolen)
    outcome.loss = epoch.loss


def _quiet_epoch(worker: Worker) -> tuple[Epoch, float]:
    """Return (epoch during which the host gave the least of the cores' time to others, that share)."""
    tried = []
    while len(tried) < TRIES and all(stolen > QUIET for _, stolen in tried):
        before = stolen_seconds()
        epoch = worker.epoch()
        tried.append((epoch, (stolen_seconds() - before) / (epoch.seconds * (os.cpu_count() or 1))))
    return min(tried, key=lambda each: each[1])
