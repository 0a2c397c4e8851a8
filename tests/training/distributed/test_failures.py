"""A process that is killed, raises, is stopped or gets a signal: all end soon, one says why, the run is intact."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import Launched, run_on
from tests.training.distributed.configs import MLP

OPTIONS = ("--threads", "1", "--device", "cpu", "--quiet")
SECONDS = 30.0
"""Time in which all processes must have ended, on a machine that does much else; it takes about 2 s on an idle one."""


def launched(folder: Path, *options: str, epochs: int = 100_000, processes: int = 2) -> Launched:
    """Return processes that are training, past the first epochs."""
    (folder / "mlp.yaml").write_text("seed: 5\n" + MLP)
    command = ("train", "mlp.yaml", *OPTIONS, "--set", f"fit.epochs={epochs}", *options)
    found = Launched([command], processes, folder)
    until = time.monotonic() + 60
    while time.monotonic() < until and not any(len(f.read_bytes()) > 400 for f in folder.glob("runs/*/history.csv")):
        assert all(process.is_alive() for process in found.processes), found.wait().text
        time.sleep(0.05)
    return found


def run_in(folder: Path, name: str = "mlp") -> Path:
    [run] = folder.glob(f"runs/*Z-{name}")
    return run


def facts(folder: Path) -> dict[str, Any]:
    return json.loads((run_in(folder) / "run.json").read_text())


def resumes_exactly(folder: Path) -> None:
    """Resume the run for two more epochs, and compare it with one that nothing happened to."""
    run = run_in(folder)
    epochs = len((run / "history.csv").read_text().splitlines()) + 1
    again = ("train", "--resume", str(run), "--quiet", "--set", f"fit.epochs={epochs}")
    whole = ("train", "mlp.yaml", *OPTIONS, "--epochs", str(epochs), "--name", "whole")
    ended = run_on(1, folder, again, whole)
    assert ended.codes == [0], ended.text
    assert (run / "model.safetensors").read_bytes() == (run_in(folder, "whole") / "model.safetensors").read_bytes()


def test_a_loss_that_is_no_number_is_told_by_process_0_which_keeps_the_weights(tmp_path: Path) -> None:
    (tmp_path / "mlp.yaml").write_text("seed: 5\n" + MLP.replace("adam", "{sgd: 1.0e+30}"))
    ended = run_on(2, tmp_path, ("train", "mlp.yaml", *OPTIONS))
    assert ended.codes == [5, 5], ended.text
    assert ended.text.count("error:") == 1, ended.text
    assert "; the last finite weights are saved in" in ended.outputs[0]


def pid_of(found: Launched, rank: int) -> int:
    pid = found.processes[rank].pid
    assert pid is not None
    return pid


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_others_with_one_message(tmp_path: Path, rank: int) -> None:
    found = launched(tmp_path)
    os.kill(pid_of(found, rank), signal.SIGKILL)
    ended = found.wait(SECONDS)
    assert ended.codes[rank] == -signal.SIGKILL
    assert ended.codes[1 - rank] == 5, ended
    assert ended.text.count("error:") == 1, ended.text
    assert "Traceback" not in ended.text
    assert f"process {rank} of 2 ended without a reason" in ended.text
    assert facts(tmp_path)["status"] == "failed"
    assert f"process {rank} of 2" in facts(tmp_path)["reason"]
    if rank == 0:  # the other one has written it down
        resumes_exactly(tmp_path)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_process_saves_once_and_ends_all(tmp_path: Path, rank: int) -> None:
    found = launched(tmp_path)
    os.kill(pid_of(found, rank), signal.SIGTERM)
    ended = found.wait(SECONDS)
    assert ended.codes == [143, 143], ended.text
    assert ended.text.count("error:") == 1, ended.text
    assert "saved" in ended.outputs[0]
    assert "saved" in facts(tmp_path)["reason"]
    assert facts(tmp_path)["status"] == "interrupted"
    resumes_exactly(tmp_path)


def test_a_stopped_process_counts_as_lost_after_the_timeout(tmp_path: Path) -> None:
    found = launched(tmp_path, "--timeout", "3")
    os.kill(pid_of(found, 1), signal.SIGSTOP)
    ended = found.wait(SECONDS)
    assert ended.codes == [5, 5], ended.text  # the other one lets it go on, to its end
    assert ended.text.count("error:") == 1, ended.text
    assert "process 1 of 2" in ended.outputs[0]


def test_an_error_on_one_process_is_reported_once_with_its_reason(tmp_path: Path) -> None:
    """The other process does not wait for the one that failed before its first step."""
    code = "import os\nif os.environ['RANK'] == '1':\n    raise ValueError('no such table here')\n"
    (tmp_path / "plugin.py").write_text(code)
    (tmp_path / "tiny.yaml").write_text(f"plugins: [plugin.py]\n{MLP}")
    ended = run_on(2, tmp_path, ("train", "tiny.yaml", *OPTIONS))
    assert ended.codes == [2, 2]
    assert ended.text.count("error:") == 1, ended.text
    assert "no such table here" in ended.outputs[1]


SLOW = """
import os, time
from torch import Tensor, nn
from kerascli.layers.base import Example, Layer, layer
from kerascli.foundation.shapes import TensorSpec

@layer(Example(input=(4,), output=(4,)))
class Slow(Layer):
    def build(self, x: TensorSpec) -> nn.Module:
        return SlowModule()

class SlowModule(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            self.calls += 1
            if self.calls == 5:  # the first ones are of checks before the training
                open("evaluates", "a").close()
            time.sleep(0.1)
        return x
"""


@pytest.mark.parametrize(("split", "where"), [("validation", "epoch 1, step"), ("test", "not evaluated on")])
def test_a_signal_is_heard_between_the_batches_of_an_evaluation(tmp_path: Path, split: str, where: str) -> None:
    """An evaluation of a minute ends at once, and the run is saved."""
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "mlp.yaml").write_text(f"""
seed: 5
plugins: [slow.py]
data:
  source: {{blobs: {{rows: 1000, features: 4, classes: 3}}}}
  split: {{{split}: 0.99}}
  inputs: {{x: []}}
  targets: {{y: []}}
model: {{layers: [slow, {{dense: {{units: 3, activation: softmax}}}}]}}
compile: {{loss: sparse_categorical_crossentropy, jit_compile: false}}
fit: {{epochs: 1, batch_size: 16, validation_batch_size: 1{", validation_data: validation" * (split == "validation")}}}
""")
    found = Launched([("train", "mlp.yaml", *OPTIONS)], 2, tmp_path)
    until = time.monotonic() + SECONDS
    while not (tmp_path / "evaluates").exists() and time.monotonic() < until:
        time.sleep(0.02)
    struck = time.monotonic()
    os.kill(pid_of(found, 1), signal.SIGTERM)
    ended = found.wait(SECONDS)
    assert ended.codes == [143, 143], ended.text
    assert time.monotonic() - struck < SECONDS
    assert where in facts(tmp_path)["reason"]


DECIDES = """
import os
from kerascli.callbacks.base import Callback, Decision, EpochFacts, State, Stop, callback

@callback()
class Differs(Callback):
    def epoch_end(self, facts: EpochFacts, state: State) -> tuple[list[Decision], State]:
        return ([Stop("enough")] if os.environ["RANK"] == "1" else []), state
"""


def test_a_callback_that_decides_otherwise_on_a_process_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "plugin.py").write_text(DECIDES)
    fit = MLP.replace("fit: {", "fit: {callbacks: [differs], ")
    (tmp_path / "tiny.yaml").write_text(f"plugins: [plugin.py]\n{fit}")
    ended = run_on(2, tmp_path, ("train", "tiny.yaml", *OPTIONS))
    assert ended.codes == [5, 5], ended.text
    assert ended.text.count("error:") == 1, ended.text
    assert "process 1 has decided otherwise than process 0 after epoch 1" in ended.text
