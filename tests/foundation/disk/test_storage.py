"""Durable writes under faults: every crash point and failing operation, with in-place writes as control."""

import contextlib
import errno
import fcntl
import os
import re
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.torture.disk import die, failing
from kerascli.foundation.disk import locks, storage, temporary
from kerascli.foundation.disk.temporary import machine, temporary_path
from kerascli.foundation.errors import FileRefused, KerasCliError, StorageError
from kerascli.runs import index
from kerascli.runs.checkpoints import Checkpoints
from kerascli.runs.history import Prefix
from kerascli.runs.record import RunRecord
from tests.support.storage_harness import crash_points, disk_of, fork, in_child, in_place, place_in_place

OLD, NEW = b"old " * 50, b"new and longer " * 50


# One file


def broken_crash_points(tmp_path: Path, write: Callable[[Path, bytes], object]) -> tuple[int, int]:
    """Return the number of crash points that leave a damaged file, and of all crash points."""
    path = tmp_path / "a"
    ends = crash_points(lambda: in_place(path, OLD), lambda: write(path, NEW))
    broken = [path.read_bytes() not in ((NEW,) if ended else (OLD, NEW)) for ended in ends]
    return sum(broken), len(broken)


def test_a_kill_before_any_operation_of_a_write_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    broken, points = broken_crash_points(tmp_path, storage.write_bytes)
    assert points >= 10
    assert broken == 0


def test_control_an_in_place_writer_fails_the_crash_test(tmp_path: Path) -> None:
    broken, _ = broken_crash_points(tmp_path, in_place)
    assert broken >= 3


def broken_failures(tmp_path: Path, write: Callable[[Path, bytes], object], code: int, *, ever_after: bool) -> int:
    path, broken = tmp_path / "a", 0
    for nth in range(1, 100):
        path.write_bytes(OLD)
        error = None
        with pytest.MonkeyPatch.context() as patch:
            disk = disk_of(patch, failing(code), nth, ever_after=ever_after)
            try:
                write(path, NEW)
            except (StorageError, OSError) as failure:
                error = failure
        contents = path.read_bytes()
        broken += contents not in (OLD, NEW) or (error is None and contents != NEW)
        if write is storage.write_bytes and error is not None:
            assert isinstance(error, StorageError)
            assert f"'{path}': {os.strerror(code).lower()}" in str(error)
            if not ever_after:
                assert [p.name for p in tmp_path.iterdir()] == ["a"]
        storage.write_bytes(path, b"next")
        broken += path.read_bytes() != b"next"
        if disk.count < nth:
            return broken
    raise AssertionError("it never came to its end")


@pytest.mark.parametrize("ever_after", [False, True], ids=["once", "ever after"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EDQUOT])
def test_whichever_operation_fails_the_old_file_is_intact_and_the_next_write_is_good(
    tmp_path: Path, code: int, ever_after: bool
) -> None:
    assert broken_failures(tmp_path, storage.write_bytes, code, ever_after=ever_after) == 0


def test_control_an_in_place_writer_fails_the_failure_test(tmp_path: Path) -> None:
    assert broken_failures(tmp_path, in_place, errno.ENOSPC, ever_after=False) > 0


def test_the_order_is_write_sync_rename_sync_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = disk_of(monkeypatch, die, 10_000)
    storage.write_bytes(tmp_path / "a", b"x")
    temporary = temporary_path(tmp_path / "a").name
    assert disk.done == [
        f"_open {temporary}", "_write", "_fsync", "_close", f"_rename {temporary}",
        f"_open {tmp_path.name}", "_fsync", "_close",
    ]  # fmt: skip


def test_a_limit_set_by_the_kernel_is_reported_with_the_space_that_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(OLD)

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        with pytest.raises(StorageError, match=r"cannot write '.*a': file too large \(34 kB needed, .* free\)"):
            storage.write_bytes(path, b"x" * 34_000)

    assert in_child(work) == 0
    assert path.read_bytes() == OLD
    assert os.listdir(tmp_path) == ["a"]


def test_where_the_system_has_a_full_sync_it_is_asked_for_and_else_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    answers = iter([None, errno.ENOTSUP, errno.EIO])

    def control(descriptor: int, command: object) -> None:
        asked.append(command)
        answer = next(answers)
        if answer is not None:
            raise OSError(answer, os.strerror(answer))

    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)  # macOS's
    monkeypatch.setattr(fcntl, "fcntl", control)
    monkeypatch.setattr(os, "fsync", lambda descriptor: asked.append("fsync"))
    with (tmp_path / "a").open("w") as file:
        storage._fsync(file.fileno())
        storage._fsync(file.fileno())
        with pytest.raises(OSError, match="Input/output error"):
            storage._fsync(file.fileno())
    assert asked == [51, 51, "fsync", 51]


def test_a_path_of_the_users_is_written_through_links_and_only_where_a_file_is_or_none(tmp_path: Path) -> None:
    link, fifo = tmp_path / "link", tmp_path / "fifo"
    link.symlink_to("folder/file")
    (tmp_path / "folder").mkdir()
    for text in ("new", "again"):
        storage.write_text(storage.output_file(link), text)
        assert (link.is_symlink(), (tmp_path / "folder" / "file").read_text()) == (True, text)
    os.mkfifo(fifo)
    (tmp_path / "device").symlink_to(os.devnull)
    (tmp_path / "loop").symlink_to("loop")
    for name in ("fifo", "device", "loop"):
        with pytest.raises(StorageError, match=rf"cannot write '.*/{name}': it is not a regular file"):
            storage.output_file(tmp_path / name)
    with pytest.raises(StorageError, match=r"cannot write '.*/folder': it is a folder"):
        storage.output_file(tmp_path / "folder")


def test_an_interrupt_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    disk_of(monkeypatch, interrupt, 3)
    with pytest.raises(KeyboardInterrupt):
        storage.write_bytes(tmp_path / "a", NEW)
    assert os.listdir(tmp_path) == []


def test_a_storage_error_ends_with_code_6(tmp_path: Path) -> None:
    with pytest.raises(KerasCliError, match="no such file or directory") as caught:
        storage.write_text(tmp_path / "missing" / "a", "x")
    assert caught.value.exit_code == 6


def test_a_name_of_255_bytes_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 127)
    storage.write_bytes(path, NEW)
    assert path.read_bytes() == NEW


def test_a_file_left_by_a_process_that_had_our_number_is_replaced(tmp_path: Path) -> None:
    temporary_path(tmp_path / "a").write_bytes(b"half")
    storage.write_bytes(tmp_path / "a", NEW)
    assert os.listdir(tmp_path) == ["a"]


def test_sweep_removes_what_dead_processes_left_and_nothing_else(tmp_path: Path) -> None:
    dead = 2**22 + 1  # above the largest number that Linux gives
    here = f"tmp-{machine()}"
    kept = ["a", ".hidden", f".b.{here}-{os.getppid()}", f"c.{here}-1", ".d.tmp-x"]
    for name in (*kept, f".e.{here}-{dead}", f".f.{here}-{os.getpid()}"):
        (tmp_path / name).touch()
    (tmp_path / f".run.{here}-{dead}" / "inner").mkdir(parents=True)
    storage.sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(kept)


def test_processes_of_two_machines_with_one_id_do_not_share_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in pods on one file system, where each has a process 7: neither replaces nor sweeps what the other writes."""
    with storage.staged(tmp_path / "a", OLD) as other:
        monkeypatch.setattr(temporary, "machine", lambda: "0badcafe")
        storage.sweep(tmp_path)
        storage.write_bytes(tmp_path / "a", NEW)
        assert other.temporary.read_bytes() == OLD
    assert (tmp_path / "a").read_bytes() == NEW


def test_json_is_strict_and_numbers_that_are_not_finite_become_null(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    storage.write_text(path, storage.json_text({"x": [1, float("nan"), (float("inf"),)], "name": "\udcff é"}))
    assert (
        path.read_text() == '{\n  "x": [\n    1,\n    null,\n    [\n      null\n    ]\n  ],\n  "name": "\\udcff é"\n}\n'
    )


def test_removing_a_folder_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "link").symlink_to(tmp_path / "outside")
    storage.remove_folder(tmp_path / "run")
    assert os.listdir(tmp_path) == ["outside"]
    assert os.listdir(tmp_path / "outside") == ["precious"]


# A checkpoint


def blobs(mark: int) -> dict[str, bytes]:
    return {"training.safetensors": bytes([mark]) * 1000, "slot.safetensors": bytes([mark, 0]) * 300}


def save(folder: Path, step: int, mark: int, *slots: str) -> None:
    Checkpoints(folder / "checkpoints").save(step, blobs(mark), {"mark": mark}, slots=slots)


@pytest.fixture
def run(tmp_path: Path) -> tuple[Path, Callable[[], None]]:
    """A run folder with checkpoints of steps 2 and 3, and `best` at 2, and the function that restores it."""
    template, folder = tmp_path / "template", tmp_path / "run"
    for step in (1, 2, 3):
        save(template, step, step, *(["best"] if step == 2 else []))

    def restore() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(template, folder)

    restore()
    return folder, restore


def is_sound(folder: Path, mark: int, *, saved: bool) -> bool:
    """Return True if the newest checkpoint and `best` are intact, and new if they were reported saved."""
    found = Checkpoints(folder / "checkpoints")
    try:
        newest, best = found.newest(), found.named("best")
    except KerasCliError:
        return False
    return (
        not newest.warnings
        and newest.facts["mark"] in ((mark,) if saved else (3, mark))
        and best.facts["mark"] in ((mark,) if saved else (2, mark))
        and all(each.blobs == blobs(each.facts["mark"]) for each in (newest, best))
    )


def assert_nothing_is_left_behind(folder: Path) -> None:
    """Assert that, after the start-up clean-up and two saves, the folder has these files and no others."""
    with RunRecord(folder).locked():
        for step in (5, 6):
            save(folder, step, step, "best")
    names = [re.sub(r"\.[0-9a-f]{16}", "", name) for name in os.listdir(folder / "checkpoints")]
    assert sorted(names) == [
        "best.json",
        "step-00000005.json", "step-00000005.slot.safetensors", "step-00000005.training.safetensors",
        "step-00000006.json", "step-00000006.slot.safetensors", "step-00000006.training.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize("step", [4, 3], ids=["the next step", "the same step again"])
def test_a_kill_at_any_point_of_a_save_harms_no_checkpoint_and_leaves_nothing_behind(
    run: tuple[Path, Callable[[], None]], step: int
) -> None:
    folder, restore = run
    points = 0
    for ended in crash_points(restore, lambda: save(folder, step, 4, "best")):
        points += 1
        assert is_sound(folder, 4, saved=ended)
        assert_nothing_is_left_behind(folder)
    assert points >= 35


@pytest.mark.parametrize("step", [4, 3], ids=["the next step", "the same step again"])
def test_control_an_in_place_writer_harms_checkpoints_when_killed(
    run: tuple[Path, Callable[[], None]], step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, restore = run
    monkeypatch.setattr(storage, "place", place_in_place)
    ends = crash_points(restore, lambda: save(folder, step, 4, "best"))
    assert sum(not is_sound(folder, 4, saved=ended) for ended in ends) >= 3


@pytest.mark.parametrize("ever_after", [False, True], ids=["once", "ever after"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_whichever_operation_of_a_save_fails_no_checkpoint_is_harmed_and_the_next_save_is_good(
    run: tuple[Path, Callable[[], None]], code: int, ever_after: bool
) -> None:
    folder, restore = run
    for nth in range(1, 500):
        restore()
        failed = False
        with pytest.MonkeyPatch.context() as patch:
            disk = disk_of(patch, failing(code), nth, ever_after=ever_after)
            try:
                save(folder, 4, 4, "best")
            except StorageError:
                failed = True
        assert is_sound(folder, 4, saved=not failed)
        assert_nothing_is_left_behind(folder)
        if disk.count < nth:
            assert not failed
            return
    raise AssertionError("it never came to its end")


# A run folder


def test_a_kill_at_any_point_of_a_run_leaves_a_run_that_can_be_read(tmp_path: Path) -> None:
    runs_dir = tmp_path / "runs"

    def train() -> None:
        run = RunRecord.create(runs_dir, "a")
        with run.locked():
            run.write_config("a: 1\n")
            run.begin({"seed": 1})
            run.open_history(["epoch", "loss"], Prefix())
            run.history_writer.cut()
            for epoch in (1, 2):
                run.history_writer.append({"epoch": epoch, "loss": 0.5})
            run.finish("completed")

    seen = set()
    for _ in crash_points(lambda: shutil.rmtree(runs_dir, ignore_errors=True), train):
        for run in index.list_runs(runs_dir):
            if run.has_begun:
                assert run.config() == "a: 1\n"
                seen.add((run.status(), len(run.history())))
            else:
                assert run.status() == "killed"
                with pytest.raises(FileRefused, match="ended before training began"):
                    run.config()
    assert seen == {("killed", 0), ("killed", 1), ("killed", 2), ("completed", 2)}


def test_a_kill_at_any_point_of_a_removal_leaves_the_whole_run_or_none(tmp_path: Path) -> None:
    runs_dir, folder = tmp_path / "runs", tmp_path / "runs" / "2026-01-01T00-00-00Z-a"

    def prepare() -> None:
        shutil.rmtree(runs_dir, ignore_errors=True)
        save(folder, 1, 1)
        RunRecord(folder).begin({})

    seen = set()
    for _ in crash_points(prepare, lambda: index.remove(RunRecord(folder))):
        found = index.list_runs(runs_dir)
        assert all(run.facts() and run.checkpoints.newest().step == 1 for run in found)
        seen.add(len(found))
        made = RunRecord.create(runs_dir, "b")  # clears up
        assert sum(not name.startswith(".") for name in os.listdir(runs_dir)) == len(found) + 1
        assert made.path.exists()
    assert seen == {0, 1}


def test_two_processes_never_get_the_same_run_folder(tmp_path: Path) -> None:
    def make() -> None:
        for _ in range(20):
            run = RunRecord.create(tmp_path / "runs", "a")
            run.begin({})
            run.path.joinpath(str(os.getpid())).touch()

    children = [fork(make) for _ in range(4)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    runs = index.list_runs(tmp_path / "runs")
    assert [run.facts()["start"]["number"] for run in runs] == list(range(1, 81))
    makers = [[name for name in os.listdir(run.path) if name.isdigit()] for run in runs]
    assert len(makers) == 80
    assert all(len(files) == 1 for files in makers)


# The lock


def hold(folder: Path, ready: int) -> None:
    with locks.lock(folder):
        os.write(ready, b"x")
        time.sleep(600)


@contextlib.contextmanager
def holder(folder: Path, work: Callable[[Path, int], None] = hold) -> Iterator[int]:
    """A child process that holds the folder's lock; killed at the end."""
    out, ready = os.pipe()
    pid = fork(lambda: work(folder, ready))
    try:
        os.close(ready)
        assert os.read(out, 1) == b"x"
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(out)


def test_a_second_process_is_refused_at_once_and_told_by_whom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    with holder(tmp_path) as pid:
        clock = SimpleNamespace(sleep=pauses.append, monotonic=lambda: sum(pauses))
        monkeypatch.setattr(locks, "time", clock)  # not before: the other process sleeps
        text = rf"'{tmp_path}' is in use by pid {pid} on host \S+ since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d$"
        with pytest.raises(StorageError, match=text), locks.lock(tmp_path):
            pass
        assert sum(pauses) < 1
        assert locks.locked(tmp_path)


def test_kill_9_frees_the_lock(tmp_path: Path) -> None:
    with holder(tmp_path):
        assert locks.locked(tmp_path)
    assert not locks.locked(tmp_path)
    with locks.lock(tmp_path):
        assert locks.locked(tmp_path)


def test_a_forked_worker_does_not_keep_the_lock_of_its_parent(tmp_path: Path) -> None:
    with locks.lock(tmp_path):
        out, ready = os.pipe()

        def linger() -> None:
            os.write(ready, b"x")
            time.sleep(600)

        worker = fork(linger)
        assert os.read(out, 1) == b"x"
    try:
        with locks.lock(tmp_path):
            pass
    finally:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)
        os.close(out)
        os.close(ready)


def test_the_holder_itself_keeps_the_lock_when_a_worker_ends(tmp_path: Path) -> None:
    with locks.lock(tmp_path):
        assert in_child(lambda: None) == 0
        assert locks.locked(tmp_path)


def test_a_fifo_in_the_place_of_the_lock_hangs_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".lock")

    def work() -> None:
        signal.alarm(5)  # ends the child
        assert not locks.locked(tmp_path)

    assert in_child(work) == 0
