"""kerascli, as `kerascli train` does it: with its run folder, checkpoints and callbacks."""

import sys
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.peers import TIERS, OnEpoch
from benchmarks.workloads import Job
from kerascli.config.config import Config
from kerascli.config.load import open_config
from kerascli.foundation.events import EpochEnd, Event, Note
from kerascli.workflow.train import Options, start


def run(job: Job, on_epoch: OnEpoch) -> None:
    with (
        TemporaryDirectory(dir=job.folder) as runs,
        closing(_events(job, Path(runs))) as events,
    ):
        for event in events:
            say(event)
            if isinstance(event, EpochEnd):
                on_epoch(event.logs.get("loss", next(iter(event.logs.values()))))


def _events(job: Job, runs: Path) -> Generator[Event, None, None]:
    yield from start(config_of(job), Options(runs_dir=runs, threads=job.threads))


def say(event: Event) -> None:
    """Notes go to stderr, as in a terminal; the driver reads there how steps were run."""
    if isinstance(event, Note):
        print(event.text, file=sys.stderr)


def config_of(job: Job) -> Config:
    """The workload's config over the job's data."""
    data = Path(job.folder) / "data.npz"
    sets = [f"seed={job.seed}", f"fit.epochs={job.epochs}", f"data.source.npz.path={data}", *TIERS[job.peer]]
    return open_config(job.config, sets=sets)
