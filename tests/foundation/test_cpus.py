"""Number of usable CPUs: quotas of both cgroup versions, how threads wait, and threads per run."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from kerascli.cli.commands import app
from kerascli.foundation import cpus, device
from kerascli.foundation.cpus import CpuLimit, cpu_limit, cpu_quota, prepare_environment
from kerascli.foundation.events import Event, Note
from kerascli.runs.index import find_run
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.train import resume
from tests.support.processes import forked_kerascli
from tests.support.runs_harness import HARD, kerascli, outcome, train, write


def machine(root: Path, groups: str, files: dict[str, str]) -> Path:
    """Write, below a folder, the files in which the kernel shows a process's cgroups."""
    for name, text in {"proc/self/cgroup": groups, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def v1(folder: str, quota: int, period: int = 100_000) -> dict[str, str]:
    return {f"{folder}/cpu.cfs_quota_us": f"{quota}\n", f"{folder}/cpu.cfs_period_us": f"{period}\n"}


def v2(folder: str, text: str) -> dict[str, str]:
    return {f"{folder}/cpu.max": f"{text}\n"}


IN_V1, IN_V2 = "4:memory:/\n3:cpu,cpuacct:{}\n0::/elsewhere\n", "0::{}\n"
CASES: dict[str, tuple[str, dict[str, str], float | None]] = {
    "v1": (IN_V1.format("/a"), v1("sys/fs/cgroup/cpu/a", 150_000), 1.5),
    "v1, none": (IN_V1.format("/a"), v1("sys/fs/cgroup/cpu/a", -1), None),
    "v1, the group above is stricter": (
        IN_V1.format("/a/b"),
        {**v1("sys/fs/cgroup/cpu/a", 50_000), **v1("sys/fs/cgroup/cpu/a/b", 200_000)}, 0.5,
    ),
    "v1, in a container that sees the names of the host": (
        IN_V1.format("/docker/0123"), v1("sys/fs/cgroup/cpu", 25_000, 50_000), 0.5,
    ),
    "v2": (IN_V2.format("/a.slice"), v2("sys/fs/cgroup/a.slice", "400000 100000"), 4.0),
    "v2, none": (IN_V2.format("/a.slice"), v2("sys/fs/cgroup/a.slice", "max 100000"), None),
    "v2, two groups up": (
        IN_V2.format("/a/b/c"),
        {**v2("sys/fs/cgroup/a", "100000 100000"), **v2("sys/fs/cgroup/a/b/c", "max 100000")}, 1.0,
    ),
    "v2, in a container whose group is the root": (
        IN_V2.format("/"), v2("sys/fs/cgroup", "200000 100000"), 2.0,
    ),
    "v2, a group outside what is mounted": (
        IN_V2.format("/../other"), v2("sys/fs/cgroup", "200000 100000"), 2.0,
    ),
    "both, the cpu controller with version 1": (
        IN_V1.format("/a"),
        {**v1("sys/fs/cgroup/cpu/a", 300_000), "sys/fs/cgroup/unified/elsewhere/cgroup.procs": ""}, 3.0,
    ),
    "nonsense in the file": (IN_V2.format("/a"), v2("sys/fs/cgroup/a", "much 0"), None),
    "an empty file": (IN_V2.format("/a"), {"sys/fs/cgroup/a/cpu.max": ""}, None),
    "a period of nothing": (IN_V2.format("/a"), v2("sys/fs/cgroup/a", "1000 0"), None),
    "nonsense in /proc": ("cpu\n::\n0::\n", {}, None),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_quota_is_the_least_of_the_group_and_those_above_it(case: str, tmp_path: Path) -> None:
    groups, files, quota = CASES[case]
    assert cpu_quota(machine(tmp_path, groups, files)) == quota


def test_a_system_without_groups_has_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "cpus_of_machine", "affinity", "limit"),
    [
        ("max 100000", 64, 64, CpuLimit(64, None)),
        ("100000 100000", 64, 64, CpuLimit(1, "the cgroup's CPU quota is 1.0 of 64")),
        ("150000 100000", 64, 64, CpuLimit(2, "the cgroup's CPU quota is 1.5 of 64")),
        ("5000 100000", 64, 64, CpuLimit(1, "the cgroup's CPU quota is 0.05 of 64")),
        ("6400000 100000", 64, 64, CpuLimit(64, None)),
        ("max 100000", 64, 3, CpuLimit(3, "this process may run on 3 of 64 CPUs")),
        ("400000 100000", 64, 3, CpuLimit(3, "this process may run on 3 of 64 CPUs")),
        ("200000 100000", 64, 3, CpuLimit(2, "the cgroup's CPU quota is 2.0 of 64")),
    ],
)
def test_the_stricter_of_affinity_and_quota_counts(
    text: str, cpus_of_machine: int, affinity: int, limit: CpuLimit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cpus_of_machine)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(affinity)), raising=False)
    assert cpu_limit(machine(tmp_path, IN_V2.format("/a"), v2("sys/fs/cgroup/a", text))) == limit


@pytest.mark.parametrize(
    "said",
    [{"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "active"}, {"KMP_BLOCKTIME": "200"}, {"GOMP_SPINCOUNT": ""}],
)
def test_how_threads_wait_is_set_only_where_the_user_has_said_nothing(
    said: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpus, "cpu_quota", lambda: None)
    environ = dict(said)
    prepare_environment(environ)
    assert environ == said
    prepare_environment(empty := {})
    assert empty == {"GOMP_SPINCOUNT": "3000"}


def test_other_pools_have_no_more_threads_than_the_quota_unless_the_user_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cpus, "cpu_quota", lambda: 0.5)
    spins = {"GOMP_SPINCOUNT": "3000"}
    prepare_environment(environ := {})
    assert environ == {**spins, "OPENBLAS_NUM_THREADS": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    said = {"OMP_NUM_THREADS": "8", "TORCHINDUCTOR_COMPILE_THREADS": "4"}
    prepare_environment(environ := dict(said))
    assert environ == {**said, **spins}


@pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP is torch's on Linux")
@pytest.mark.parametrize(
    ("command", "said", "spins"),
    [
        (["-m", "kerascli"], {}, "3000"),
        (["-c", "from kerascli.cli.app import main; main()"], {}, "3000"),
        (["-m", "kerascli"], {"GOMP_SPINCOUNT": "31"}, "31"),
    ],
)
def test_every_entry_point_sets_the_spin_count_before_torch_is_loaded(
    command: list[str], said: dict[str, str], spins: str, tmp_path: Path
) -> None:
    """OpenMP prints the settings that it reads when it is loaded with torch."""
    config = write(tmp_path, HARD)
    env = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    asked = [sys.executable, *command, "summary", str(config)]
    env |= {"OMP_DISPLAY_ENV": "verbose", **said}
    run = subprocess.run(asked, env=env, capture_output=True, text=True, timeout=600, check=True)
    assert f"GOMP_SPINCOUNT = '{spins}'" in run.stderr


@pytest.fixture
def threads() -> Iterator[Callable[[], int]]:
    """Set torch's number of threads, and restore it afterwards."""
    before = torch.get_num_threads()
    yield torch.get_num_threads
    torch.set_num_threads(before)


def _notes(events: list[Event]) -> list[str]:
    return [
        event.text
        for event in events
        if isinstance(event, Note) and event.text.startswith("threads") and event.level == "info"
    ]


def _limited(monkeypatch: pytest.MonkeyPatch, limit: CpuLimit) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(device, "cpu_limit", lambda: limit)


def test_threads_are_as_many_as_the_quota_allows_and_the_reason_is_reported_and_recorded(
    tmp_path: Path, threads: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(4)
    _limited(monkeypatch, CpuLimit(2, "the cgroup's CPU quota is 2.0 of 64"))
    run, events = train(write(tmp_path, HARD), tmp_path / "runs", ["fit.epochs=1"])
    assert threads() == 2
    assert _notes(events) == ["threads: 2 (the cgroup's CPU quota is 2.0 of 64)"]
    facts = run.facts()
    assert (facts["threads"], facts["threads_reason"]) == (2, "the cgroup's CPU quota is 2.0 of 64")


@pytest.mark.parametrize(
    ("environ", "limit", "count", "reason"),
    [
        ({}, CpuLimit(64, None), 3, "one a core"),
        ({}, CpuLimit(64, "the cgroup's CPU quota is 64.0 of 128"), 3, "one a core"),
        ({"OMP_NUM_THREADS": "3"}, CpuLimit(1, "the cgroup's CPU quota is 1.0 of 64"), 3, "OMP_NUM_THREADS"),
        ({"MKL_NUM_THREADS": "3"}, CpuLimit(1, "the cgroup's CPU quota is 1.0 of 64"), 3, "MKL_NUM_THREADS"),
    ],
)
def test_torchs_own_number_stays_where_nothing_limits_it_or_the_user_chose_it(
    environ: dict[str, str], limit: CpuLimit, count: int, reason: str,
    threads: Callable[[], int], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    torch.set_num_threads(3)
    _limited(monkeypatch, limit)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    found = device.use_threads()
    assert (found.count, found.reason, found.unexpected) == (count, reason, False)
    assert threads() == count


def test_a_resumed_run_keeps_its_threads_unless_others_are_asked_for(
    tmp_path: Path, threads: Callable[[], int]
) -> None:
    run, events = train(write(tmp_path, HARD), tmp_path / "runs", ["fit.epochs=1"], threads=2)
    assert (_notes(events), run.facts()["threads_reason"]) == ([], "asked for")
    torch.set_num_threads(1)
    assert _notes(list(resume(run, Options(runs_dir=run.path.parent), ["fit.epochs=2"]))) == [
        "threads: 2 (as in the run)"
    ]
    assert threads() == 2
    asked = Options(runs_dir=run.path.parent, threads=1)
    [note] = _notes(list(resume(run, asked, ["fit.epochs=3"])))
    assert note == "threads: 1 (asked for; the run went on with 2 until now: the last bits may differ)"
    assert (threads(), run.facts()["threads"]) == (1, 1)


def test_the_option_is_taken_by_all_commands_that_compute(
    tmp_path: Path, threads: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write(tmp_path, HARD)
    monkeypatch.chdir(tmp_path)
    ways = ["train", str(config), "--set", "fit.epochs=1"], ["evaluate"], ["predict", "latest", "validation"]
    for way in ways:
        torch.set_num_threads(1)
        app([*way, "--threads", "2"], standalone_mode=False)
        assert threads() == 2
    [path] = (tmp_path / "runs").glob("*/run.json")
    assert json.loads(path.read_text(encoding="utf-8"))["threads"] == 2
    refused = forked_kerascli("train", str(config), "--threads", "0", cwd=tmp_path)
    assert (refused.returncode, "--threads" in refused.stderr) == (2, True)


WIDE = """
seed: 3
data:
  source: {blobs: {rows: 512, features: 256, classes: 10, seed: 3}}
  inputs: {x: []}
  targets: {y: []}
model:
  layers: [dense: {units: 256, activation: relu}, dense: {units: 10, activation: softmax}]
compile: {loss: sparse_categorical_crossentropy, optimizer: adam}
fit: {epochs: 1, batch_size: 128}
"""


def test_how_threads_wait_changes_no_bit(tmp_path: Path) -> None:
    """libgomp's default is 300,000 rounds; two threads are needed for one to wait."""
    config = write(tmp_path, WIDE)
    outcomes = []
    for name, environment in {"brief": {}, "long": {"GOMP_SPINCOUNT": "300000"}}.items():
        arguments = ["train", str(config), "--runs-dir", name, "--threads", "2"]
        run = kerascli(*arguments, cwd=tmp_path, **environment)
        assert run.returncode == 0, run.stderr
        outcomes.append(outcome(find_run("latest", tmp_path / name)))
    assert outcomes[0] == outcomes[1]
