"""kerascli, as `kerascli train` does it: with its run folder, checkpoints and callbacks."""

import sys
from collections.abc import Generator
from contextlib import closing
from math import nan
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.peers import TIERS, OnEpoch
from benchmarks.workloads import Job
from kerascli.config.config import Config
from kerascli.config.load import open_config
from kerascli.foundation.events import EpochEnd, Evaluated, Event, Note
from kerascli.workflow.train import Options, start


def run(job: Job, on_epoch: OnEpoch) -> float:
    accuracy = nan
    with (
        TemporaryDirectory(dir=Path(job.data).parent) as folder,
        closing(_events(job, Path(folder))) as events,
    ):
        for event in events:
            say(event)
            if isinstance(event, EpochEnd):
                on_epoch(event.logs["loss"])
            elif isinstance(event, Evaluated):
                accuracy = event.logs["accuracy"]
    return accuracy


def _events(job: Job, folder: Path) -> Generator[Event, None, None]:
    yield from start(config_of(job), Options(runs_dir=folder, threads=job.threads))


def say(event: Event) -> None:
    """Notes go to stderr, as in a terminal; the driver reads there whether the model was compiled."""
    if isinstance(event, Note):
        print(event.text, file=sys.stderr)


def config_of(job: Job) -> Config:
    """The workload's config over the job's digits."""
    sets = [f"seed={job.seed}", f"fit.epochs={job.epochs}", f"data.source.npz.path={job.data}", TIERS[job.peer]]
    return open_config(job.workload.config, sets=sets)
