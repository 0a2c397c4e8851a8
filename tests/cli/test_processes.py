"""`train --processes`: torch's launcher starts the processes, and starts them again after a failure."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.processes import run_on
from tests.training.distributed.configs import MLP

EPOCHS = "360"


def workers(launcher: int) -> list[int]:
    """Return the ids of the processes that a launcher has started."""
    found = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    return [int(pid) for pid in found]


def wait_for_epochs(folder: Path) -> None:
    until = time.monotonic() + 120
    while not any(len(f.read_bytes()) > 600 for f in folder.glob("runs/*Z-mlp/history.csv")):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_killed_process_is_started_again_and_the_result_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "mlp.yaml").write_text("seed: 5\n" + MLP)
    train = ("train", "mlp.yaml", "--threads", "1", "--epochs", EPOCHS)
    several = ("--processes", "2", "--max-restarts", "1")
    with subprocess.Popen(
        [sys.executable, "-m", "kerascli", *train, *several],
        cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as launcher:  # fmt: skip
        wait_for_epochs(tmp_path)
        os.kill(workers(launcher.pid)[-1], signal.SIGKILL)
        output, errors = launcher.communicate(timeout=240)
    assert launcher.returncode == 0, errors
    assert re.search(r"processes: 2 on this machine, 1 thread each, 4 shards a batch", errors)
    assert len(re.findall(r"^error:", errors, re.MULTILINE)) == 1, errors
    assert "resuming:" in errors
    assert output.startswith("run ")
    ended = run_on(1, tmp_path, (*train, "--name", "whole"))
    assert ended.codes == [0], ended.text
    found, whole = (next(tmp_path.glob(f"runs/*Z-{name}/model.safetensors")) for name in ("mlp", "whole"))
    assert found.read_bytes() == whole.read_bytes()


def test_other_commands_refuse_several_processes(tmp_path: Path) -> None:
    ended = run_on(2, tmp_path, ("runs",))
    assert set(ended.codes) == {2}
    assert "'runs' runs on one process, and a launcher has started 2" in ended.text


def test_options_of_the_launcher_need_processes(tmp_path: Path) -> None:
    (tmp_path / "mlp.yaml").write_text(MLP)
    assert "--max-restarts needs --processes" in run_on(1, tmp_path, ("train", "mlp.yaml", "--max-restarts", "1")).text
    assert "--timeout needs --processes" in run_on(1, tmp_path, ("train", "mlp.yaml", "--timeout", "9")).text
    smoke = run_on(1, tmp_path, ("train", "mlp.yaml", "--smoke", "--processes", "2"))
    assert "--processes cannot be used with --smoke" in smoke.text


@pytest.mark.parametrize("arguments", [("nothing.yaml",), ("mlp.yaml", "--device", "cuda:99")])
def test_an_error_that_all_processes_have_is_printed_once(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "mlp.yaml").write_text(MLP)
    ended = run_on(2, tmp_path, ("train", *arguments))
    assert set(ended.codes) == {2}
    assert ended.text.count("error:") == 1, ended.text


def test_a_million_processes_are_not_started(tmp_path: Path) -> None:
    (tmp_path / "mlp.yaml").write_text(MLP)
    ended = run_on(1, tmp_path, ("train", "mlp.yaml", "--processes", "1000000"))
    assert ended.codes == [2]
    assert "less than or equal to 1024" in ended.text


def test_a_launcher_that_does_not_say_where_to_meet_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mlp.yaml").write_text(MLP)
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    ended = subprocess.run(
        [sys.executable, "-m", "kerascli", "train", "mlp.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "WORLD_SIZE is 2, but MASTER_ADDR is not set" in ended.stderr
