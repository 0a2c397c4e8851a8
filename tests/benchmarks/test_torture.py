"""A small sample of each torture script passes, and its control, with a known defect, fails."""

import ast
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.torture import crashes, damages, failures, kills, signals
from benchmarks.torture.cases import Given, Tally, main
from benchmarks.torture.children import Ended
from benchmarks.torture.disk import OPERATIONS
from kerascli.foundation.disk import storage
from tests.support.needs import takes

Torture = Callable[[Given, Tally], None]


def sample(torture: Torture, folder: Path, *, cases: int, control: bool = False) -> Tally:
    tally = Tally()
    torture(Given(cases, 0, random.Random(1), control, folder.resolve()), tally)
    return tally


SAMPLES = [(crashes.torture, 3, 1), (failures.torture, 3, 2), (kills.torture, 25, 40), (damages.torture, 6, 8),
           (signals.torture, 3, 2)]  # fmt: skip


@pytest.mark.parametrize(("torture", "cases"), [(torture, cases) for torture, cases, _ in SAMPLES])
def test_a_sample_ends_clean(torture: Torture, cases: int, tmp_path: Path) -> None:
    found = sample(torture, tmp_path, cases=cases)
    assert found.wrong == []
    assert found.counts.total() == cases


@takes(13)
@pytest.mark.parametrize(("torture", "cases"), [(torture, cases) for torture, _, cases in SAMPLES])
def test_its_control_does_not(torture: Torture, cases: int, tmp_path: Path) -> None:
    assert sample(torture, tmp_path, cases=cases, control=True).wrong


def test_every_write_of_the_storage_is_one_of_the_operations() -> None:
    """Operations outside the list could not be made to fail."""
    changing = {"open", "write", "fsync", "close", "replace", "rename", "unlink", "remove", "mkdir", "rmdir", "rmtree",
                "truncate", "ftruncate", "link", "symlink", "pwrite", "writev", "utime", "chmod"}  # fmt: skip
    tree = ast.parse(Path(storage.__file__).read_text(encoding="utf-8"))
    outside = [
        f"{function.name}: {ast.unparse(call.func)}"
        for function in tree.body
        if isinstance(function, ast.FunctionDef) and function.name not in OPERATIONS
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id in {"os", "shutil", "fcntl"}
        and call.func.attr in changing
    ]
    assert outside == []
    assert all(hasattr(storage, name) for name in OPERATIONS)


def test_the_exit_code_tells_whether_a_case_was_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    def good(given: Given, tally: Tally) -> None:
        for number in range(given.cases or 0):
            tally.add(f"case {number}", "as it should be")

    def bad(given: Given, tally: Tally) -> None:
        good(given, tally)
        tally.add("a case", "", "not as it should be")

    assert main("cases", good, cases=2, whole=0, arguments=["--seed", "3"]) == 0
    assert "| as it should be |     2 |" in capsys.readouterr().out
    assert main("cases", bad, cases=2, whole=0, arguments=["--cases", "1"]) == 1
    out = capsys.readouterr().out
    assert "wrong: a case: not as it should be" in out
    assert "| all             |     2 |" in out


def test_ctrl_c_shows_the_cases_so_far(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(given: Given, tally: Tally) -> None:
        tally.add("a case", "as it should be")
        raise KeyboardInterrupt

    assert main("cases", interrupted, cases=2, whole=0, arguments=[]) == 0
    assert "| as it should be |     1 |" in capsys.readouterr().out


def test_a_traceback_is_not_decent() -> None:
    assert Ended(6, "", "error: no space left on device\n").is_decent
    for text in ("Traceback (most recent call last):\n", "internal error: KeyError\n", "Exception ignored in: x\n"):
        assert not Ended(6, "", text).is_decent


def test_an_interrupt_in_pythons_own_start_is_told_from_one_in_ours() -> None:
    python = 'Traceback (most recent call last):\n  File "/usr/lib/python3.11/site.py", line 1\nKeyboardInterrupt\n'
    assert signals.in_pythons_own_start(Ended(-2, "", python))
    assert signals.in_pythons_own_start(Ended(-15, "", ""))
    ours = python.replace("/usr/lib/python3.11/site.py", "/x/kerascli/cli/app.py")
    assert not signals.in_pythons_own_start(Ended(-2, "", ours))
    assert not signals.in_pythons_own_start(Ended(130, "", "error: interrupted\n"))
