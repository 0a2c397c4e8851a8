"""Whether kerascli learns what its peers learn: losses step by step, and test accuracy over seeds."""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.outcomes import table
from benchmarks.peers import is_ours
from benchmarks.processes import Died
from benchmarks.session import Session
from benchmarks.workloads import BATCH, WORKLOADS

DEFAULT_PEERS = ("kerascli-eager", "kerascli-compiled", "keras-jax")
FIRST_STEPS, STEP_BOUND = 20, 1e-5
EPOCH_STEPS, EPOCH_BOUND = 48_000 // BATCH, 0.01
SEEDS, QUICK_SEEDS = 5, 2
WORK = WORKLOADS["mnist_mlp"]


@dataclass(frozen=True, slots=True)
class Distance:
    """Of the losses of two trainings from the same weights over the same batches."""

    steps: float
    """The largest difference within the first steps."""
    epoch: float
    """The relative difference of the means over an epoch."""

    @property
    def small(self) -> bool:
        return self.steps < STEP_BOUND and self.epoch < EPOCH_BOUND


def measure(session: Session) -> Iterator[tuple[str, Any]]:
    """Step by step for every tier of kerascli, then over the seeds (as many as there are rounds) for all peers."""
    failed: dict[str, str] = {}
    losses: dict[str, Any] = {}
    for tier in filter(is_ours, session.peers):
        with _noting_death(failed, tier):
            losses[tier] = _losses(session, tier)
    yield "losses", {"found": losses, "failed": dict(failed)}
    failed.clear()
    accuracies: dict[str, list[float]] = {}
    for seed in range(1, (session.rounds or (QUICK_SEEDS if session.quick else SEEDS)) + 1):
        for peer in [peer for peer in session.peers if peer not in failed]:
            with _noting_death(failed, peer):
                accuracies.setdefault(peer, []).append(_accuracy(session, peer, seed))
    yield "accuracy", {"found": accuracies, "failed": failed, "epochs": session.epochs}


def page(found: Mapping[str, Any], folder: Path) -> list[str]:
    sections = []
    if "losses" in found:
        text = "configs/mnist_mlp.yaml without dropout and shuffling, beside a PyTorch loop from the same weights."
        sections += ["### losses step by step", text, _distance_table(_distances(found))]
    if "accuracy" in found:
        text = f"configs/mnist_mlp.yaml; epochs: {found['accuracy']['epochs']}, each with its own random numbers."
        accuracies = found["accuracy"]["found"]
        tables = [accuracy_table(accuracies), *difference_lines(accuracies)]
        sections += ["### accuracy on the test digits", text, *tables]
    failed = [f"{peer} failed: `{why}`" for data in found.values() for peer, why in data["failed"].items()]
    return sections + failed


def holds(found: Mapping[str, Any]) -> bool:
    """Whether nobody failed and every loss is within its bounds."""
    return not any(data["failed"] for data in found.values()) and all(d.small for d in _distances(found).values())


def distance(kerascli: Sequence[float], pytorch: Sequence[float]) -> Distance:
    pairs = list(zip(kerascli, pytorch, strict=True))
    ours, theirs = statistics.fmean(kerascli), statistics.fmean(pytorch)
    return Distance(max(abs(a - b) for a, b in pairs[:FIRST_STEPS]), abs(ours - theirs) / theirs)


def _distances(found: Mapping[str, Any]) -> dict[str, Distance]:
    return {tier: distance(**losses) for tier, losses in found["losses"]["found"].items()} if "losses" in found else {}


def _losses(session: Session, tier: str) -> dict[str, list[float]]:
    steps = FIRST_STEPS if session.quick else EPOCH_STEPS
    job = session.job(tier, "mnist_mlp", rows=WORK.rows, epochs=steps)
    return _answer(session, "steps", job.to_json(), tier)


def _accuracy(session: Session, peer: str, seed: int) -> float:
    rows = WORK.quick_rows if session.quick else WORK.rows
    job = session.job(peer, "mnist_mlp", rows=rows, epochs=session.epochs, seed=seed)
    return _answer(session, "script", job.to_json(), peer)["accuracy"]


def _answer(session: Session, task: str, job: str, peer: str) -> dict[str, Any]:
    return json.loads(processes.run(session.child(task, job), session.env(peer)).stdout)


def _distance_table(distances: Mapping[str, Distance]) -> str:
    head = [
        "", f"first {FIRST_STEPS} steps, largest difference (< {STEP_BOUND:g})",
        f"mean over all steps, relative difference (< {EPOCH_BOUND:g})", "equal",
    ]  # fmt: skip
    rows = [
        [tier, f"{each.steps:.1e}", f"{each.epoch:.1e}", "yes" if each.small else "NO"]
        for tier, each in distances.items()
    ]
    return table(head, rows)


def accuracy_table(accuracies: Mapping[str, Sequence[float]]) -> str:
    """The mean over the seeds with its standard error, which takes two."""
    seeds = max(map(len, accuracies.values()), default=0)
    rows = []
    for peer, found in accuracies.items():
        error = f"{_standard_error(found):.4f}" if len(found) > 1 else ""
        missing = [""] * (seeds - len(found))
        rows.append([peer, f"{statistics.fmean(found):.4f}", error, *(f"{each:.4f}" for each in found), *missing])
    return table(["test accuracy", "mean", "standard error", *(f"seed {n + 1}" for n in range(seeds))], rows)


def difference_lines(accuracies: Mapping[str, Sequence[float]]) -> list[str]:
    """kerascli's mean less the peer's, with the standard error of that; within two of them is chance."""
    known = {peer: found for peer, found in accuracies.items() if len(found) > 1}
    return [
        f"{ours} - {peer}: {statistics.fmean(known[ours]) - statistics.fmean(known[peer]):+.4f} "
        f"± {(_standard_error(known[ours]) ** 2 + _standard_error(known[peer]) ** 2) ** 0.5:.4f}"
        for ours in known if is_ours(ours)
        for peer in known if not is_ours(peer)
    ]  # fmt: skip


def _standard_error(found: Sequence[float]) -> float:
    return statistics.stdev(found) / len(found) ** 0.5


@contextmanager
def _noting_death(failed: dict[str, str], peer: str) -> Iterator[None]:
    try:
        yield
    except Died as error:
        failed[peer] = str(error)
