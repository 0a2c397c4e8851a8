"""The command `tune` follows its workers, and finds out whether file locks hold between hosts that share the folder."""

import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from kerascli.foundation.disk import locks
from kerascli.foundation.errors import StorageError
from kerascli.workflow.tuning import worker
from kerascli.workflow.tuning.worker import _follow, announced


def _other(study: Path) -> Path:
    """Make the file of a command of another host, whose lock is not held."""
    file = study / f"not-{socket.gethostname()}-17.command"
    with locks.lock(study, name=file.name):
        return file


def test_a_command_that_lives_and_whose_lock_is_not_seen_is_refused(tmp_path: Path) -> None:
    file, done = _other(tmp_path), threading.Event()

    def give_signs() -> None:
        while not done.wait(0.2):
            file.touch()

    thread = threading.Thread(target=give_signs)
    thread.start()
    try:
        with pytest.raises(StorageError, match="do not hold between hosts"), announced(tmp_path):
            pass
    finally:
        done.set()
        thread.join()


def test_a_command_whose_lock_is_seen_and_one_that_has_ended_are_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "ALIVE_SECONDS", 0.5)
    other = _other(tmp_path)
    with locks.lock(tmp_path, name=other.name), announced(tmp_path):
        pass
    with announced(tmp_path) as give_sign:
        (own,) = (path for path in tmp_path.glob("*.command") if path != other)
        before = own.stat().st_mtime_ns
        time.sleep(0.02)
        give_sign()
        assert own.stat().st_mtime_ns > before
    assert [*tmp_path.iterdir()] == [other]


def test_workers_that_a_signal_has_ended_alone_are_followed_and_the_first_failure_is_returned() -> None:
    class Ended:
        def __init__(self, code: int | None) -> None:
            self.code = code

        def poll(self) -> int | None:
            return self.code

    codes = [143, 75, -9, 2, 0, 6, None]
    processes: dict[int, Any] = {index: Ended(code) for index, code in enumerate(codes)}
    running = processes[6]
    assert _follow(processes, "new {}".format) == 2  # type: ignore[arg-type]
    assert processes == {0: "new 0", 1: "new 1", 2: "new 2", 6: running}
