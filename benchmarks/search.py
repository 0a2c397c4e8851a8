"""Search by kerascli beside keras-tuner and a loop written by hand over Optuna: `python -m benchmarks.search OUT.json`.

The same data (scikit-learn's digits), model, space and number of trials; each search is a process of its own. Prints
for each seed the best validation loss, the wall time and the CPU time, which is the one to compare on a busy machine.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

TRIALS, EPOCHS, SEEDS = 16, 8, range(5)
CONFIG = """
seed: {seed}
data:
  source: {{npz: digits.npz}}
  inputs: {{x: [rescaling: 0.0625]}}
  targets: {{y: []}}
flags: {{units: 64, rate: 0.2}}
model:
  layers:
    - dense: {{units: $units, activation: relu}}
    - dropout: $rate
    - dense: {{units: 10, activation: softmax}}
compile: {{loss: sparse_categorical_crossentropy, optimizer: {{adam: {{learning_rate: 1e-3}}}}, metrics: [accuracy]}}
fit: {{epochs: {epochs}, batch_size: 64, validation_split: 0.25}}
tune:
  objective: val_loss
  trials: {trials}
  sampler: tpe
  flags: {{units: {{int: {{range: [16, 256], log: true}}}}, rate: {{float: {{range: [0.0, 0.5]}}}}}}
  set:
    compile.optimizer.adam.learning_rate: {{float: {{range: [1e-4, 1e-1], log: true}}}}
    fit.batch_size: [32, 64, 128]
"""


def data() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return x.astype("float32"), y.astype("int64")


def by_kerascli(seed: int, folder: Path, workers: int = 1) -> float:
    x, y = data()
    np.savez(folder / "digits.npz", x=x, y=y)
    (folder / "c.yaml").write_text(CONFIG.format(seed=seed, epochs=EPOCHS, trials=TRIALS))
    command = [sys.executable, "-P", "-m", "kerascli", "tune", "c.yaml", "--workers", str(workers)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    trials = [json.loads(path.read_text()) for path in folder.glob("runs/*/trials/*/trial.json")]
    assert len(trials) == TRIALS
    return min(each["values"][0] for each in trials)


def fitted(seed: int, units: int, rate: float, learning_rate: float, batch_size: int) -> float:
    """Return the best validation loss of a model of Keras."""
    import keras

    keras.utils.set_random_seed(seed)
    model = _model(units, rate, learning_rate)
    x, y = data()
    history = model.fit(x / 16, y, batch_size=batch_size, epochs=EPOCHS, validation_split=0.25, verbose=0)
    return min(history.history["val_loss"])


def _model(units: int, rate: float, learning_rate: float) -> Any:
    import keras

    layers = [keras.layers.Dense(units, "relu"), keras.layers.Dropout(rate), keras.layers.Dense(10, "softmax")]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(learning_rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def by_hand(seed: int, folder: Path) -> float:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(
        lambda trial: fitted(
            seed, trial.suggest_int("units", 16, 256, log=True), trial.suggest_float("rate", 0.0, 0.5),
            trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
            trial.suggest_categorical("batch_size", [32, 64, 128]),
        ), n_trials=TRIALS,
    )  # fmt: skip
    return study.best_value


def by_keras_tuner(seed: int, folder: Path) -> float:
    import keras_tuner

    class Model(keras_tuner.HyperModel):
        def build(self, hp: Any) -> Any:
            rate = hp.Float("learning_rate", 1e-4, 1e-1, sampling="log")
            return _model(hp.Int("units", 16, 256, sampling="log"), hp.Float("rate", 0.0, 0.5), rate)

        def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
            return model.fit(*args, batch_size=hp.Choice("batch_size", [32, 64, 128]), **kwargs)

    tuner = keras_tuner.BayesianOptimization(
        Model(), objective="val_loss", max_trials=TRIALS, seed=seed, directory=folder, project_name="k", overwrite=True
    )
    x, y = data()
    tuner.search(x / 16, y, epochs=EPOCHS, validation_split=0.25, verbose=0)
    return tuner.oracle.get_best_trials(1)[0].score


SEARCHES = {"kerascli": by_kerascli, "optuna by hand": by_hand, "keras-tuner": by_keras_tuner}


def _children_seconds() -> float:
    """Return the CPU time of all processes that have been started and have ended."""
    times = os.times()
    return times.children_user + times.children_system


def main(out: Path) -> None:
    """Run every search for every seed, in turn, and write the best values and wall times."""
    results: dict[str, list[tuple[float, float, float]]] = {name: [] for name in SEARCHES}
    for seed in SEEDS:
        for name in SEARCHES:
            start, used = time.monotonic(), _children_seconds()
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, "-m", "benchmarks.search", name, str(seed), folder]
                run = subprocess.run(command, check=True, capture_output=True, text=True)
            value = float(run.stdout.split()[-1])
            results[name].append((value, time.monotonic() - start, _children_seconds() - used))
            print(seed, name, *results[name][-1], flush=True)
            out.write_text(json.dumps(results))


if __name__ == "__main__":
    os.environ.setdefault("KERAS_BACKEND", "torch")
    if len(sys.argv) > 2:
        print(SEARCHES[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3])))
    else:
        main(Path(sys.argv[1]))
