"""Pytest plugin that merges the ledgers of all processes, and checks that nothing was forgotten.

Each process of pytest-xdist hands what it compared to the one that started it. When all tests have ended, whatever was
forgotten fails the run. Nothing heavy is imported where nothing was compared.
"""

import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
_LEDGER = "tests.parity.ledger"
_PARTIAL = ("keyword", "markexpr", "lf", "deselect", "collectonly")
"""Options of pytest that deselect tests."""


class Books:
    """Plugin that collects what all processes compared, and fails the run if a component was forgotten."""

    def __init__(self) -> None:
        self._whole: list[bool] = []
        self._open: list[str] = []

    @pytest.hookimpl(optionalhook=True)  # of pytest-xdist
    def pytest_testnodedown(self, node: Any) -> None:
        """Take the entries that a finished process has sent; a crashed one has sent none."""
        found = getattr(node, "workeroutput", {}).get("parity")
        self._whole.append(bool(found and found["whole"]))
        if found and found["entries"]:
            from tests.parity import ledger

            ledger.take(found["entries"])

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        ledger = sys.modules.get(_LEDGER)
        handed_over = getattr(session.config, "workeroutput", None)
        if handed_over is not None:
            handed_over["parity"] = {"entries": ledger.dumped() if ledger else [], "whole": _is_whole(session)}
            return
        if path := session.config.getoption("--parity-report"):
            from tests.parity.ledger import write_report

            write_report(path)
        ended = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not session.shouldfail
        if ledger and ended and (all(self._whole) if self._whole else _is_whole(session)):
            self._open = ledger.open_accounts()
            if self._open:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self._open:
            terminalreporter.section("not compared with Keras", red=True)
            terminalreporter.write_line("\n".join(f"FAILED {line} in tests/parity/ledger.py" for line in self._open))


def _is_whole(session: pytest.Session) -> bool:
    """Return True if all files of comparisons were collected, and none of their tests left out."""
    files = {path.name for path in HERE.glob("test_*.py")}
    collected = {item.path.name for item in session.items if item.path.parent == HERE}
    return files == collected and not any(session.config.getoption(name, None) for name in _PARTIAL)
