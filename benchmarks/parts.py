"""python -m benchmarks.parts: a table of many files of Parquet, in a folder and in a bucket; trained, killed, resumed.

The bucket is that of moto's server on the loopback (`pip install -e '.[test_servers]'`), and its connection is cut
once. The table is larger than what kerascli reads into memory: its rows are prepared into a file that is mapped.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.machine import environment
from kerascli.runs.index import find_run
from tests.support.buckets import KEYS, Proxy, empty_bucket, s3_server, upload
from tests.support.runs_harness import outcome

ROWS, FILES, NUMBERS = 10_000_000, 20, 8
CONFIG = """
seed: 1
data:
  source: {{parquet: {{path: "{path}"}}}}
  split: {{validation: 0.01}}
  inputs:
    numbers: [{{columns: [{columns}, day]}}, {{impute: mean}}, normalization]
    word: [{{string_lookup: {{output_mode: one_hot}}}}]
  targets: {{y: []}}
model:
  layers:
    - concatenate: [numbers, word]
    - dense: {{units: 16, activation: relu}}
    - dense: {{units: 1, activation: sigmoid}}
compile: {{loss: binary_crossentropy, optimizer: adam}}
fit: {{epochs: 3, batch_size: 8192, validation_data: validation}}
"""


@dataclass(frozen=True, slots=True)
class Trained:
    seconds: float
    code: int
    peak_mib: float
    """Peak of the memory that is not of mapped files, which the kernel may take back."""
    stderr: str


def write_parts(folder: Path, rows: int, files: int) -> int:
    """Write a table in as many files, each in a folder `day=N`; return their bytes."""
    import pyarrow
    from pyarrow import parquet

    random = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(20)])
    for day in range(files):
        count = rows // files
        columns = {f"n{number}": random.normal(size=count) for number in range(NUMBERS)}
        target = (columns["n0"] + columns["n1"] + random.normal(size=count) > 0).astype(np.int8)
        gaps = pyarrow.array(columns["n2"], mask=random.random(count) < 0.01)
        word = pyarrow.array(words[random.integers(0, len(words), count)])
        path = folder / f"day={day:02d}/part-0.parquet"
        path.parent.mkdir(parents=True)
        parquet.write_table(pyarrow.table({**columns, "n2": gaps, "word": word, "y": target}), path)
    return sum(path.stat().st_size for path in folder.rglob("*.parquet"))


def write_config(folder: Path, name: str, path: str) -> Path:
    config = folder / f"{name}.yaml"
    columns = ", ".join(f"n{number}" for number in range(NUMBERS))
    config.write_text(CONFIG.format(path=path, columns=columns), encoding="utf-8")
    return config


def train(
    arguments: list[str], runs: Path, environ: Mapping[str, str], kill_after_epochs: int | None = None
) -> Trained:
    """Run `kerascli train`; kill it in the middle of the epoch behind so many saved ones."""
    command = [sys.executable, "-m", "kerascli", "train", *arguments, "--runs-dir", str(runs)]
    with tempfile.TemporaryFile("w+") as said:
        began = time.perf_counter()
        process = subprocess.Popen(command, env=dict(environ), stdout=subprocess.DEVNULL, stderr=said)
        peak = 0
        while process.poll() is None:
            with suppress(OSError):
                found = re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text(encoding="ascii"))
                peak = max(peak, int(found[1]) if found else 0)
            if kill_after_epochs is not None and _epochs(runs) >= kill_after_epochs:
                time.sleep(1)
                process.send_signal(signal.SIGKILL)
            time.sleep(0.02)
        said.seek(0)
        return Trained(time.perf_counter() - began, process.returncode, peak / 1024, said.read())


def _epochs(runs: Path) -> int:
    histories = list(runs.glob("*/history.csv"))
    return max((len(path.read_text(encoding="utf-8").splitlines()) - 1 for path in histories), default=0)


def measure(folder: Path, config: Path, environ: Mapping[str, str], name: str) -> Path:
    """Train a config, and once more with a kill in the second epoch, and resume that; return the folder of the run."""
    calm = train([str(config)], folder / f"{name}_calm", environ)
    assert calm.code == 0, calm.stderr
    killed = train([str(config)], folder / f"{name}_killed", environ, kill_after_epochs=1)
    assert killed.code == -signal.SIGKILL, killed.stderr
    resumed = train(["--resume", "latest"], folder / f"{name}_killed", environ)
    assert resumed.code == 0, resumed.stderr
    runs = [find_run("latest", folder / f"{name}_{each}") for each in ("calm", "killed")]
    assert outcome(runs[0]) == outcome(runs[1]), "a resumed run has other numbers"
    epochs = [row[key] for row in runs[0].history() for key in row if key.endswith("_seconds")]
    print(f"| {name} | {calm.seconds:.0f} s | {', '.join(f'{each:.1f}' for each in epochs)} s | "
          f"{calm.peak_mib:,.0f} MiB | {resumed.seconds:.0f} s, the same numbers |")  # fmt: skip
    return folder / f"{name}_calm"


def main(rows: int, files: int) -> None:
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as place, s3_server() as server:
        folder = Path(place)
        size = write_parts(folder / "table", rows, files)
        print(f"{rows:,} rows in {files} files of Parquet, {size / 1e6:,.0f} MB\n")
        print("| from | training | epochs | peak memory | resumed after a kill |\n|---|---|---|---|---|", flush=True)
        environ = environment(folder / "cache")
        here = measure(folder, write_config(folder, "folder", "table"), environ, "folder")
        empty_bucket(server)
        upload(server, folder / "table", "table")
        proxy = Proxy(server, size // 2)
        environ |= {**KEYS, "AWS_ENDPOINT_URL": proxy.url}
        config = write_config(folder, "bucket", "s3://bucket/table")
        cut = train([str(config)], folder / "cut", environ)
        assert cut.code == 3, cut.stderr
        copied = len(list((folder / "cache/kerascli/copies").rglob("*.parquet")))
        print(f"| bucket, cut after half | {cut.seconds:.0f} s, exit code 3; {copied} files stay | | | |", flush=True)
        proxy.left = 2**50
        there = measure(folder, config, environ, "bucket")
        assert outcome(find_run("latest", here)) == outcome(find_run("latest", there)), (
            "other numbers than of the folder"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--files", type=int, default=FILES)
    main(**vars(parser.parse_args()))
