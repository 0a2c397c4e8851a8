"""Shortcuts for the tests of one process: no waiting for the disk, one look at the package's files, plain plots."""

import functools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kerascli.config import component_index
from kerascli.report import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_save, _state = plots.save, component_index._state


def leave_out() -> None:
    """Wait for no disk, read the times of the package's files once, and lay no plots out but in the tests of plots."""
    # processes are killed in tests, not the machine: nothing has to be on the disk itself, a tenth of the time
    os.fsync = lambda fd: None
    component_index._state = lambda: _state_with(sys.version)
    plots.save = _save_quickly


@functools.cache
def _state_with(python: str) -> str:
    return _state()


def _save_quickly(figure: "Figure", path: Path) -> None:
    """Save a plot small and without aligning its labels, which takes most of its time."""
    if not os.environ.get("PYTEST_CURRENT_TEST", "").startswith("tests/report/"):
        figure.set_layout_engine("none")
        figure.set_dpi(50)
    _save(figure, path)
