"""Commands of several hosts that share the folder of a study: whether file locks hold between them."""

import socket
import threading
import time
from pathlib import Path

import pytest

from kerascli.foundation.disk import locks
from kerascli.foundation.errors import StorageError
from kerascli.workflow.tuning import command
from kerascli.workflow.tuning.command import announced


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
    monkeypatch.setattr(command, "ALIVE_SECONDS", 0.5)
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
