"""A training of a second that has all that makes resuming hard, and what must be equal of two such runs."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerascli.runs.record import RunRecord

EPOCHS = 3
REFUSED = "refused"
TRAIN = ("train", "config.yaml", "--device", "cpu")

_PLUGIN = '''"""A layer of the user's own."""

from torch import Tensor, nn

from kerascli.layers.base import Example, Layer, layer
from kerascli.foundation.shapes import TensorSpec


@layer(Example(input=(3,), output=(3,)))
class Doubled(Layer):
    """Twice its input."""

    def build(self, x: TensorSpec) -> nn.Module:
        return DoubledModule()


class DoubledModule(nn.Module):
    def forward(self, x: Tensor) -> Tensor:  # (N, F) -> (N, F)
        return x * 2
'''
# Dropout, moving statistics, Adam's moments, averaged weights, callbacks with a memory, vocabularies and means.
CONFIG = """
seed: 5
plugins: [doubled.py]
data:
  source: {csv: {path: table.csv}}
  split: {validation: 0.25, test: 0.25, seed: 1}
  inputs:
    x: [{columns: [a, b]}, normalization]
    colour: [string_lookup]
  targets: {kind: [string_lookup]}
model:
  layers:
    - embedding: {input_dim: 5, output_dim: 3, name: colours, inputs: colour}
    - concatenate: {inputs: [x, colours]}
    - dense: {units: 6, activation: relu}
    - doubled
    - batch_normalization
    - dropout: 0.3
    - dense: {units: 3, activation: softmax}
compile:
  loss: sparse_categorical_crossentropy
  optimizer: {adam: {learning_rate: 0.01, use_ema: true, clipnorm: 1.0}}
  metrics: [accuracy]
  jit_compile: false
fit:
  epochs: 3
  batch_size: 16
  validation_data: validation
  callbacks:
    - reduce_lr_on_plateau: {monitor: val_loss, factor: 0.5, patience: 1}
    - model_checkpoint: {monitor: val_accuracy, save_best_only: true}
    - csv_logger: {filename: log.csv}
"""


def write_config(folder: Path, name: str = "config.yaml", change: Callable[[str], str] = str) -> Path:
    """Write the config and its table into `folder`; returns the config's path."""
    colours, kinds = ("red", "green", "blue", "grey"), ("low", "high", "mid")
    lines = ["a,b,colour,kind"]
    for i in range(96):
        a, b = (i * 37 % 101) / 50 - 1, (i * 53 % 97) / 48 - 1
        lines.append(f"{a:.3f},{b:.3f},{colours[i * 7 % 4]},{kinds[int(a + b > 0) + (i % 11 == 0)]}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "doubled.py").write_text(_PLUGIN, encoding="utf-8")
    path = folder / name
    path.write_text(change(CONFIG), encoding="utf-8")
    return path


def often_saved() -> None:
    """Make this process write a checkpoint at every epoch, and ask no disk to sync."""
    from benchmarks.torture.disk import without_waiting
    from kerascli.workflow.fitting import saver

    saver.EPOCH_SECONDS = 0.0
    without_waiting()


def the_run(runs_dir: Path) -> Path | None:
    """Return the only run in a folder, or None where there is none."""
    from kerascli.runs.index import list_runs

    found = [run.path for run in list_runs(runs_dir)]
    if len(found) > 1:
        raise AssertionError(f"there are {len(found)} runs, expected one")
    return found[0] if found else None


def outcome(path: Path, *, logs: bool = True) -> dict[str, Any]:
    """Return what must be equal, bit by bit, of a run that has ended: all but what the clock says."""
    from safetensors.numpy import load

    from kerascli.runs.record import RunRecord

    run = RunRecord.open(path)
    return {
        "status": run.status(),
        "results": run.facts()["results"],
        "history": [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in run.history()],
        "log": run.log("log.csv") if logs else None,
        "weights": {name: value.tobytes() for name, value in load(run.weights()).items()},
        "best": _best(run),
        "slots": run.checkpoints.slots(),
        "newest": dict(run.checkpoints.newest().blobs),
        "config": run.config(),
        "preprocessing": dict(run.preprocessing()),
    }


def _best(run: "RunRecord") -> Any:
    from kerascli.foundation.errors import FileRefused

    try:
        best = run.checkpoints.named("best")
    except FileRefused:
        return REFUSED
    return best.step, best.facts["epoch"], dict(best.blobs)


def train_whole(folder: Path, name: str = "whole", *options: str) -> Path:
    """Train without an interruption into the folder of runs `name`, and warm this process; returns the run."""
    from benchmarks.torture.children import warm

    warm([*TRAIN, "--runs-dir", name, *options], folder, often_saved)
    found = the_run(folder / name)
    assert found is not None
    return found


def difference(found: dict[str, Any], expected: dict[str, Any]) -> str | None:
    """Return the names of what differs, or None."""
    names = [name for name in expected if found.get(name) != expected[name]]
    return f"other {', '.join(names)} than those of a run that was never interrupted" if names else None
