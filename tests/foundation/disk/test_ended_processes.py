"""Temporary files of processes that have ended are left over, also while a process is still in the system's table."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kerascli.foundation.disk.temporary import is_left, temporary_path


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="Linux tells the state of a process")
def test_a_process_whose_exit_code_nobody_has_asked_for_has_ended(tmp_path: Path) -> None:
    """A killed process stays in the table of processes until its launcher reads its exit code."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        own = temporary_path(tmp_path / "weights").name
        (tmp_path / own.replace(f"-{os.getpid()}", f"-{process.pid}")).touch()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        [entry] = os.scandir(tmp_path)
        assert is_left(entry)
