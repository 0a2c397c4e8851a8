"""Prepare the folder of a workload: the arrays and the `.keras` file that its peers train with, and timed modes.

`auto` learns between runs, by timing both execution modes when a training has been long enough. Here it does so after
one of two steps, so that what is measured is `auto` as it is after such a run.
"""

import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.arrays import write_data
from benchmarks.peers import TIERS
from benchmarks.peers.with_kerascli import config_of, say
from benchmarks.workloads import WORKLOADS, Job
from kerascli.config.config import Config
from kerascli.config.data import load_config_data
from kerascli.data.batches.loader import BatchSource
from kerascli.runs.index import find_run
from kerascli.training import execution_mode
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.interchange.exporting import export_run
from kerascli.workflow.train import start

_LIMITS = {"epochs": 1, "steps_per_epoch": 2, "validation_steps": 1}


def prepare(job: Job, rows: int, peers: list[str]) -> None:
    """Fill the job's folder with what these peers need."""
    folder = Path(job.folder)
    write_data(job.work, rows, folder / "data.npz")
    others = [peer for peer in peers if peer not in TIERS]
    if others:
        write_arrays(config_of(job), folder / "arrays.npz")
    if any(peer.startswith("keras-") for peer in others) and WORKLOADS[job.work].in_keras:
        with tempfile.TemporaryDirectory(dir=folder) as runs:
            _train(job, Path(runs))
            export_run(find_run("latest", Path(runs)), "keras", folder / "model.keras")
    learning = [peer for peer in peers if peer in TIERS and "jit_compile" not in TIERS[peer]]
    with patch.object(execution_mode, "SHARE", float("inf")):
        for peer in learning:
            with tempfile.TemporaryDirectory(dir=folder) as runs:
                _train(Job(peer, job.work, job.folder), Path(runs))


def _train(job: Job, runs: Path) -> None:
    for event in start(config_of(job), Options(runs_dir=runs, limits=_LIMITS)):
        say(event)


def write_arrays(config: Config, path: Path) -> None:
    """Write the rows as the model gets them, for peers that read no config: `train/inputs/x`, and the batch size."""
    data = load_config_data(config)
    batch = config.document.at(("fit", "batch_size"))
    arrays = {"batch_size": np.array(batch if isinstance(batch, int) else 32)}
    for name, split in data.splits.items():
        rows = next(BatchSource(split, split.rows, torch.device("cpu")).epoch(0))
        stages = {"inputs": data.input_stage(rows.inputs), "targets": data.target_stage(rows.targets)}
        for kind, columns in stages.items():
            arrays |= {f"{name}/{kind}/{column}": np.ascontiguousarray(each) for column, each in columns.items()}
    np.savez(path, **arrays)  # pyright: ignore[reportArgumentType]
