"""Details of the start of a training run, which only `train --verbose` prints: choices, versions, digests, times."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from kerascli.foundation.errors import safe_text
from kerascli.foundation.events import Note
from kerascli.training.build import Experiment

_SHOWN = 12
"""Number of digits of a data file's SHA-256 to print, and of data files whose SHA-256 is printed."""


class Stages:
    """Stopwatch for the stages of work before the first training step (reading data, building the model ...)."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._seconds: dict[str, float] = {}

    def end(self, stage: str) -> None:
        """Record that the stage named `stage` has ended: it began at the end of the stage before it."""
        now = time.monotonic()
        self._seconds[stage] = now - self._last
        self._last = now

    def text(self) -> str:
        return ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in self._seconds.items())


def details(facts: Mapping[str, Any], experiment: Experiment, stages: Stages) -> Iterator[Note]:
    """Yield notes on a run's start (versions, seed, digests ...), for `train --verbose`.

    `facts` is a part of the contents of the run's file run.json, `stages` the times of the stages before the first
    training step.
    """
    spec = experiment.spec
    versions, digests = facts.get("versions", {}), facts.get("data", {})
    packages = ", ".join(f"{name} {versions[name]}" for name in ("kerascli", "python", "torch") if name in versions)
    lines = [f"versions: {packages}", f"seed: {spec.seed}"]
    if spec.training is not None:
        lines.append(f"precision: {spec.training.compute.precision}")
    lines.append(f"batches: {spec.fit.batch_size} rows")
    shown = list(digests.items())[:_SHOWN]
    lines += [f"SHA-256 of {safe_text(name)}: {digest[:_SHOWN]}..." for name, digest in shown]
    if len(digests) > len(shown):
        lines.append(f"SHA-256 of {len(digests) - len(shown)} more files: in run.json")
    yield from (Note(line, "detail") for line in [*lines, f"time before the first step: {stages.text()}"])
