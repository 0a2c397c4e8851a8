"""A process that waits on its GPU for one that is gone ends all the same; a sleep takes the place of NCCL's kernel."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import distributed as dist

from kerascli.foundation.errors import ProcessLost
from kerascli.foundation.world import World
from kerascli.training.distributed import gpu_watch
from kerascli.training.distributed.gpu_watch import GpuWatch, Member
from kerascli.training.distributed.reasons import Reasons
from kerascli.training.distributed.timed_store import TimedStore
from tests.support.processes import Launched


class Event:
    """Event of a GPU's queue, which arrives or does not."""

    arrives = True

    def record(self) -> None:
        self.thread = threading.current_thread()

    def query(self) -> bool:
        return self.arrives


class Watched:
    """Process 0 of 2, and what its watch has done."""

    def __init__(self, pid: int, timeout: float = 60.0) -> None:
        self.store = TimedStore(dist.HashStore(), 5.0)  # pyright: ignore[reportPrivateImportUsage]
        self.reasons = Reasons(World(0, 2), self.store)
        self.ends: list[tuple[ProcessLost, bool]] = []
        members = [Member("here", os.getpid(), "a"), Member("here", pid, "b")]
        self.watch = GpuWatch(World(0, 2), members, "cuda:3", timeout, self.store, self.reasons, self._end)
        self._done = threading.Event()

    def _end(self, lost: ProcessLost, is_first: bool) -> None:
        self.ends.append((lost, is_first))
        self._done.set()

    def ended(self, seconds: float = 10.0) -> tuple[str, bool]:
        """Return the reason for which the process ends, and if it is the first to say it."""
        assert self._done.wait(seconds), "it waits on"
        [(lost, is_first)] = self.ends
        return str(lost), is_first

    def goes_on(self) -> bool:
        """Return True if, after a moment, nothing is amiss."""
        time.sleep(0.3)
        return not self.store.has(["failures/alarm"]) and self.watch._thread.is_alive()


@pytest.fixture(autouse=True)
def devices(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Devices that the watches' threads made CUDA's current one."""
    found: list[object] = []
    monkeypatch.setattr(torch.cuda, "set_device", found.append)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(gpu_watch, "_SECONDS_TO_LOOK", 0.02)
    monkeypatch.setattr(gpu_watch, "_SECONDS_TO_LEAVE", 0.1)
    return found


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def test_a_killed_process_is_noticed_and_the_others_are_told(
    other: subprocess.Popen[bytes], devices: list[object]
) -> None:
    each = Watched(other.pid)
    each.watch.start()
    assert each.goes_on()
    other.kill()  # and it is not waited for: a process that has ended still has its number
    assert each.ended() == ("process 1 of 2 ended without a reason, or stopped answering", True)
    assert each.reasons.are_there()
    assert devices == ["cuda:3"]  # else its thread would take memory of GPU 0


def test_a_process_that_has_left_is_not_missed(other: subprocess.Popen[bytes]) -> None:
    each = Watched(other.pid)
    each.store.set("left/1", "")
    other.kill()
    other.wait()
    each.watch.start()
    assert each.goes_on()
    each.watch.end()
    assert not each.watch._thread.is_alive()


def test_a_reason_that_another_process_gives_is_repeated(other: subprocess.Popen[bytes]) -> None:
    each = Watched(other.pid)
    Reasons(World(1, 2), each.store).leave("no such table", heard=False)
    each.reasons.listen()
    each.watch.start()
    assert each.ended() == ("process 1 of 2 failed: no such table", False)


def test_the_main_thread_may_leave_by_itself(other: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_watch, "_SECONDS_TO_LEAVE", 60.0)
    each = Watched(other.pid)
    other.kill()
    each.watch.start()
    until = time.monotonic() + 10
    while not each.reasons.are_there() and time.monotonic() < until:
        time.sleep(0.02)
    each.watch.end()
    assert not each.watch._thread.is_alive()
    assert not each.ends


def test_sums_that_do_not_arrive_in_time_end_the_process(
    other: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is there, but stopped."""
    each = Watched(other.pid, timeout=0.1)
    each.watch.sent()
    each.watch.start()
    assert each.goes_on()  # it has arrived, and the process computes
    monkeypatch.setattr(Event, "arrives", False)
    assert each.ended() == ("process 1 of 2 ended without a reason, or stopped answering", True)


def test_a_store_that_is_gone_ends_the_process(other: subprocess.Popen[bytes]) -> None:
    """Process 0 kept it, on another machine."""
    each = Watched(other.pid)
    each.store._is_late = True
    each.reasons.listen()
    each.watch.start()
    assert each.ended()[0] == "process 0 of 2 ended without a reason, or stopped answering"


WAITS = """
import glob, os, time
import torch
from torch import Tensor, nn
from kerascli.layers.base import Example, Layer, layer
from kerascli.foundation.shapes import TensorSpec
from kerascli.training.distributed.gpu_watch import Member
from kerascli.training.distributed import processes
from kerascli.workflow import train

torch.cuda.set_device = lambda device: None

def on_gpu(choice, all_of_them, before=train.own_device):
    found = before(choice, all_of_them)
    all_of_them.watch_gpu([Member(*each) for each in all_of_them.exchange(["here", os.getpid(), ""])], "cuda:0")
    all_of_them._watch.sent = lambda: None
    return found

train.own_device = on_gpu

@layer(Example(input=(4,), output=(4,)))
class Waits(Layer):
    def build(self, x: TensorSpec) -> nn.Module:
        return WaitsModule()

class WaitsModule(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and glob.glob("runs/*/history.csv"):
            open("waits-" + os.environ["RANK"], "w").close()
            time.sleep(1000)
        return x
"""
"""A layer that waits for ever, as a kernel of NCCL does for a process that is gone."""


@pytest.mark.skipif(not Path("/proc").exists(), reason="NCCL is Linux's")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_nothing_wakes_ends_soon_after_another_one(tmp_path: Path, rank: int) -> None:
    """Without the watch it would wait for ever: it is in no function that looks for others."""
    (tmp_path / "waits.py").write_text(WAITS)
    (tmp_path / "mlp.yaml").write_text("""
seed: 5
plugins: [waits.py]
data: {source: {blobs: {rows: 64, features: 4, classes: 3}}, inputs: {x: []}, targets: {y: []}}
model: {layers: [waits, {dense: 3}, softmax]}
compile: {loss: sparse_categorical_crossentropy, jit_compile: false}
fit: {epochs: 1, batch_size: 16}
""")
    found = Launched([("train", "mlp.yaml", "--threads", "1", "--device", "cpu", "--quiet")], 2, tmp_path)
    until = time.monotonic() + 60
    while time.monotonic() < until and len(list(tmp_path.glob("waits-*"))) < 2:
        assert all(process.is_alive() for process in found.processes), found.wait().text
        time.sleep(0.02)
    pid = found.processes[rank].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    ended = found.wait(30.0)
    assert ended.codes == [-9 if each == rank else 5 for each in (0, 1)], ended.text
    assert ended.text.count("error:") == 1, ended.text
    assert f"process {rank} of 2 ended without a reason" in ended.text
    [run] = tmp_path.glob("runs/*Z-mlp")
    facts = json.loads((run / "run.json").read_text())
    assert facts["status"] == "failed"
    assert f"process {rank} of 2" in facts["reason"]
