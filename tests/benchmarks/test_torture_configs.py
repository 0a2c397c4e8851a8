"""A sample of the fuzzer of configs, which `python -m benchmarks.torture.configs` runs by the ten thousand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.torture.config_cases import Cases
from benchmarks.torture.config_verdict import wrong
from benchmarks.torture.forked import Outcome

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="limits and measures are Linux's")


_DRIVER = """
import sys, tempfile
from benchmarks.torture.configs import main
place = tempfile.gettempdir()
for arguments in ("--cases 24", "--cases 4 --control raises", "--cases 4 --control no-place"):
    sys.argv[1:] = [*arguments.split(), "--seed", "11", "--keep", "kept-" + arguments.split()[-1]]
    tempfile.tempdir = place  # a run has its own below, and removes it
    print("exit code", main(), flush=True)
"""
"""Three runs of the fuzzer in one process: what takes long is to load what a child needs."""


def test_changed_configs_are_refused_in_words_or_sound_and_checks_that_are_broken_are_found(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", _DRIVER], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert "24 cases" in run.stdout
    assert run.stdout.count("exit code 0\n") == 3, run.stdout + run.stderr
    assert not list(tmp_path.glob("kept-24/case-*.yaml"))
    for control in ("raises", "no-place"):
        assert list(tmp_path.glob(f"kept-{control}/case-*.yaml")), "what failed is kept"


def test_a_case_depends_on_the_seed_and_its_number_alone() -> None:
    first, again, other = Cases(3), Cases(3), Cases(4)
    assert [first.case(number) for number in (5, 6)] == [again.case(number) for number in (5, 6)]
    assert first.case(5).text != other.case(5).text


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        (Outcome(2, "c.yaml:1:2: error: unknown key\n", 0.1, 0), None),
        (Outcome(0, "c.yaml: ok\n", 0.1, 0), None),
        (Outcome(1, "internal error: KeyError: 'x'\n", 0.1, 0), "internal error: KeyError: 'x'"),
        (Outcome(1, "", 0.1, 0), "exit code 1"),
        (Outcome(2, "error: something\n", 0.1, 0), "no place: 'error: something\\n'"),
        (Outcome(2, "c.yaml:1:2: error: got <class 'int'>\n", 0.1, 0), "words of Python: <class '"),
        (Outcome(2, "c.yaml:1:2: error: \x1b[31m\n", 0.1, 0), "control characters in the output"),
        (Outcome(2, "c.yaml:1:2: error: x\n", 0.1, 2**31), "2048 MiB of memory"),
        (Outcome(-9, "", 0.1, 0, timed_out=True), "it did not end"),
    ],
)
def test_the_verdict_knows_what_is_wrong(outcome: Outcome, why: str | None) -> None:
    assert wrong("validate", outcome) == why
