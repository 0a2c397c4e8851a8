"""An epoch with a frozen base, whose outputs are kept or not, beside Keras: python -m benchmarks.frozen --python PATH

MobileNetV2 with random weights on random images of 96 x 96 pixels, frozen, below one dense layer. Keras trains the
whole model, and, `by hand`, the dense layer on what `predict` of the base yields once. All are alive at once and train
in turn; the first epoch has building, compiling and the outputs that are kept. PATH is an interpreter with all peers,
as `python -m benchmarks` makes one (`machine.peers_python`).
"""

import argparse
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.child import private_stdout, serve
from benchmarks.epochs import MOST_EPOCHS, take_turns
from benchmarks.outcomes import outcome_table
from benchmarks.peers import PEERS, OnEpoch, hide, is_ours
from benchmarks.processes import Worker

SIDE, CLASSES, BATCH = 96, 5, 32
CONFIG = """
seed: 1
data: {{source: {{npz: {rows}}}, inputs: {{x: [{{preprocess: mobilenet_v2}}]}}, targets: {{y: []}}}}
model:
  shared:
    base: {{application: mobilenet_v2, include_top: false, pooling: avg, weights: null}}
  layers:
    - base: {{training: false}}
    - dense: {{units: {classes}, activation: softmax}}
compile: {{loss: sparse_categorical_crossentropy, optimizer: adam}}
fit: {{batch_size: {batch}, epochs: {epochs}, trainable: {{base: false}}, cache_frozen: {cached}}}
"""
WAYS = (
    "kept",
    "whole",
    *(f"{peer}, {way}" for peer in PEERS if peer.startswith("keras-") for way in ("whole", "by hand")),
)


def with_kerascli(rows: Path, on_epoch: OnEpoch, *, cached: bool) -> None:
    from benchmarks.peers.with_kerascli import say
    from kerascli.foundation.events import EpochEnd
    from kerascli.workflow.bases import open_config
    from kerascli.workflow.train import Options, start

    with tempfile.TemporaryDirectory(dir=rows.parent) as folder:
        config, cache = Path(folder, "frozen.yaml"), str(cached).lower()
        config.write_text(
            CONFIG.format(rows=rows, classes=CLASSES, batch=BATCH, epochs=MOST_EPOCHS, cached=cache), encoding="utf-8"
        )
        for event in start(open_config(config), Options(runs_dir=Path(folder, "runs"))):
            say(event)
            if isinstance(event, EpochEnd):
                on_epoch(event.logs["loss"])


def with_keras(rows: Path, on_epoch: OnEpoch, *, by_hand: bool) -> None:
    import keras

    keras.utils.set_random_seed(1)
    quiet: Any = 0
    none: Any = None
    loaded = np.load(rows)
    x, y = keras.applications.mobilenet_v2.preprocess_input(loaded["x_train"].astype("float32")), loaded["y_train"]
    base = keras.applications.MobileNetV2(include_top=False, weights=none, pooling="avg", input_shape=(SIDE, SIDE, 3))
    base.trainable = False
    dense = keras.layers.Dense(CLASSES, activation="softmax")
    if by_hand:
        x = base.predict(x, batch_size=BATCH, verbose=quiet)
        model = keras.Sequential([keras.Input(x.shape[1:]), dense])
    else:
        inputs = keras.Input((SIDE, SIDE, 3))
        model = keras.Model(inputs, dense(base(inputs, training=False)))
    model.compile(loss="sparse_categorical_crossentropy", optimizer="adam")
    ended = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: on_epoch(float(logs["loss"])))
    model.fit(x, y, batch_size=BATCH, epochs=MOST_EPOCHS, verbose=quiet, callbacks=[ended])


def child(way: str, rows: Path) -> None:
    peer, _, how = way.partition(", ")
    answers = private_stdout()
    if not how:
        hide(next(filter(is_ours, PEERS)))
        serve(lambda on_epoch: with_kerascli(rows, on_epoch, cached=way == "kept"), sys.stdin, answers)
    else:
        hide(peer)
        serve(lambda on_epoch: with_keras(rows, on_epoch, by_hand=how == "by hand"), sys.stdin, answers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, default=Path(sys.executable))
    parser.add_argument("--rows", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, metavar="WAY", help="; ".join(WAYS))
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child[0], Path(given.child[1]))
        return
    python, random = given.python.absolute(), np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        rows = Path(folder, "rows.npz")
        x = random.integers(0, 256, (given.rows, SIDE, SIDE, 3), dtype=np.uint8)
        np.savez(rows, x_train=x, y_train=random.integers(0, CLASSES, given.rows))
        print("\n".join(f"- {name}: {value}" for name, value in machine.facts(python).items()), flush=True)
        workers: dict[str, Worker] = {}
        for way in given.ways:
            peer = way.partition(",")[0]
            own = dict(PEERS[peer].env) if peer in PEERS else {}
            command = [str(python), "-m", "benchmarks.frozen", "--child", way, str(rows)]
            env = machine.environment(Path(folder, "caches")) | own
            workers[way if own else f"kerascli, {way}"] = stack.enter_context(Worker(command, env))
        print(outcome_table(take_turns(workers, given.rounds), f"seconds an epoch of {given.rows} images"))
    print(f"load after: {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
