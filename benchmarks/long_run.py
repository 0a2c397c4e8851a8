"""python -m benchmarks.long_run: the last epochs of a long run cost as much as its first."""

import statistics
import sys
import tempfile
import time
from pathlib import Path

EPOCHS = 10_000
WINDOW = 200
"""Epochs whose median is taken: after the first ten, and at the end."""
CONFIG = """
seed: 1
data: {{source: {{blobs: {{rows: 16, features: 2, classes: 2}}}}, inputs: {{x: []}}, targets: {{y: []}}}}
model: {{layers: [{{dense: {{units: 2, activation: softmax}}}}]}}
compile: {{loss: sparse_categorical_crossentropy, jit_compile: false}}
fit:
  epochs: {epochs}
  batch_size: 16
  callbacks:
    - csv_logger: log.csv
    - early_stopping: {{monitor: loss, patience: {epochs}}}
    - reduce_lr_on_plateau: {{monitor: loss, patience: {epochs}}}
    - model_checkpoint: {{monitor: loss, mode: max, save_best_only: true}}
"""


def main(epochs: int) -> None:
    """Train a trivial model and print how the time of an epoch grew."""
    from kerascli.config.load import open_config
    from kerascli.foundation.events import EpochEnd
    from kerascli.workflow.fitting.options import Options
    from kerascli.workflow.train import start

    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "long.yaml"
        config.write_text(CONFIG.format(epochs=epochs), encoding="utf-8")
        seconds = []
        before = time.perf_counter()
        for event in start(open_config(config), Options(runs_dir=Path(folder) / "runs", device="cpu")):
            now = time.perf_counter()
            if isinstance(event, EpochEnd):
                seconds.append(now - before)
            before = now
    first, last = statistics.median(seconds[10 : 10 + WINDOW]), statistics.median(seconds[-WINDOW:])
    print(f"an epoch: {first * 1e6:.0f} us after 10, {last * 1e6:.0f} us after {epochs:,}: {last / first:.2f} times")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else EPOCHS)
