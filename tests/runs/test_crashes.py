"""Crash tests of a whole run: from every state that a crash can leave, resuming ends bit-identical."""

import errno
import shutil
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from benchmarks.torture.disk import failing
from kerascli.config.load import open_config
from kerascli.foundation.disk import storage
from kerascli.foundation.errors import FileRefused, StorageError
from kerascli.foundation.events import Saved
from kerascli.runs import index
from kerascli.runs.checkpoints import Checkpoints
from kerascli.runs.record import RunRecord
from kerascli.workflow.fitting import saver
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.train import start
from tests.support.runs_harness import go_on, outcome, train, write
from tests.support.storage_harness import PowerCuts, before_operations, disk_of

CONFIG = """
seed: 1
plugins: [mine.py]
data:
  source: {blobs: {rows: 40, features: 2, classes: 2, seed: 3}}
  inputs: {x: [normalization]}
  targets: {y: []}
model:
  layers:
    - dropout: 0.25
    - dense: {units: 2, activation: softmax}
compile: {loss: sparse_categorical_crossentropy, optimizer: adam, jit_compile: false}
fit:
  epochs: 4
  batch_size: 16
  validation_split: 0.2
  callbacks:
    - model_checkpoint: {monitor: loss, mode: max, save_best_only: true}
    - csv_logger: log.csv
"""
"""`best` is from the second epoch, so that its checkpoint is pruned later."""

Outcome = tuple[Any, ...]
REPORTED = ".reported"


@pytest.fixture(autouse=True)
def save_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save every epoch."""
    monkeypatch.setattr(saver, "EPOCH_SECONDS", -1.0)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write(tmp_path, "MINE = 1\n", "mine.py")
    return write(tmp_path, CONFIG)


def everything(run: RunRecord) -> Outcome:
    """Return everything that must be equal: history without times, weights, log, checkpoints and `best`."""
    best = run.checkpoints.named("best")
    assert run.checkpoints.newest().warnings == ()
    rest = run.log("log.csv"), run.checkpoints.steps(), run.checkpoints.slots(), best.step, best.blobs
    return *outcome(run), run.status(), run.resolved(), *rest


def digest(folder: Path) -> str:
    """Return a digest of a folder's state."""
    found = sha256()
    for path in sorted(folder.rglob("*")):
        if path.name != ".lock":
            swept = ".tmp-" in path.name or path.is_dir()  # whatever it holds
            found.update(f"{path.relative_to(folder)}\0".encode() + (b"" if swept else path.read_bytes()))
    return found.hexdigest()


def states(folder: Path, into: Path, work: Callable[[], object]) -> Iterator[Path]:
    """Return copies of `folder` before each file operation of `work`, without duplicates: what a kill leaves."""
    into.mkdir()
    seen: dict[str, Path] = {}

    def keep(name: str = "", arguments: tuple[Any, ...] = ()) -> None:
        if folder.exists() and (found := digest(folder)) not in seen:
            seen[found] = into / str(len(seen))
            shutil.copytree(folder, seen[found])

    with pytest.MonkeyPatch.context() as patch:
        before_operations(patch, keep)
        work()
    keep()
    yield from seen.values()


def cut_states(folder: Path, into: Path, config: Path) -> Iterator[Path]:
    """Yield folders as a power cut leaves them before each file operation, with the last step reported saved."""
    seen: list[tuple[dict[Path, bytes | None], int]] = []
    reported = [-1]

    def keep(cuts: PowerCuts) -> None:
        for state in (cuts.emptied(), cuts.forgotten()):
            visible = {path: data for path, data in state.items() if ".tmp-" not in path.name}
            if (visible, reported[-1]) not in seen:
                seen.append((visible, reported[-1]))

    with pytest.MonkeyPatch.context() as patch:
        cuts = PowerCuts(patch, folder, keep)
        for event in start(open_config(config), Options(runs_dir=folder)):
            if isinstance(event, Saved):
                reported.append(int(event.name.removeprefix("step ")))
        keep(cuts)
    for number, (state, step) in enumerate(seen):
        made = into / str(number)
        made.mkdir(parents=True)
        for path, data in sorted(state.items()):
            copy = made / path.relative_to(folder)
            copy.mkdir() if data is None else copy.write_bytes(data)
        (made / REPORTED).write_text(str(step))
        yield made


def some(found: Iterator[Path]) -> Iterator[Path]:
    return islice(found, 0, None, 4)


def resumed(runs: Path, sets: Sequence[str] = ()) -> Outcome | None:
    """Resume a run and return its result; None if it had not begun, and the command says so."""
    (run,) = index.list_runs(runs)
    if run.has_begun:
        go_on(run, sets)
        return everything(RunRecord(run.path))
    assert run.status() == "killed"
    with pytest.raises(FileRefused, match="ended before training began") as caught:
        go_on(run)
    assert caught.value.faults[0].hint == "start it again: kerascli train CONFIG"
    index.remove(run)
    assert index.list_runs(runs) == []
    return None


def lost(found: Iterator[Path], wanted: Outcome, sets: Sequence[str] = ()) -> tuple[int, int, list[str]]:
    """Count states that had begun and that had not; return also those from which resuming ends differently."""
    begun, before, wrong = 0, 0, []
    for state in found:
        if not (found_runs := index.list_runs(state)):
            continue
        reported = state / REPORTED
        if reported.exists() and max(found_runs[0].checkpoints.steps(), default=-1) < int(reported.read_text()):
            wrong.append(f"{state.name}: a checkpoint that was reported is lost")
            continue
        try:
            ended = resumed(state, sets)
        except (FileRefused, StorageError) as error:
            wrong.append(f"{state.name}: {error}")
            continue
        begun, before = begun + (ended is not None), before + (ended is None)
        if ended is not None and ended != wanted:
            wrong.append(f"{state.name}: another outcome")
    return begun, before, wrong


def test_from_every_crash_of_a_run_resuming_ends_bit_identical(tmp_path: Path, config: Path) -> None:
    whole = everything(train(config, tmp_path / "whole")[0])
    runs = tmp_path / "runs"
    begun, before, wrong = lost(states(runs, tmp_path / "states", lambda: train(config, runs)), whole)
    assert wrong == []
    assert begun >= 40
    assert before >= 15


def test_from_every_power_cut_resuming_ends_bit_identical(tmp_path: Path, config: Path) -> None:
    whole = everything(train(config, tmp_path / "whole")[0])
    runs = tmp_path / "runs"
    begun, before, wrong = lost(cut_states(runs, tmp_path / "states", config), whole)
    assert wrong == []
    assert begun >= 30
    assert before >= 5


@pytest.mark.parametrize("sync", ["sync_file", "sync_folder"])
def test_control_a_sync_that_is_left_out_loses_runs_in_power_cuts(tmp_path: Path, config: Path, sync: str) -> None:
    whole = everything(train(config, tmp_path / "whole")[0])
    runs = tmp_path / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, sync, lambda path: None)
        found = list(cut_states(runs, tmp_path / "states", config))
    assert lost(islice(found, 0, None, 2), whole)[2] != []


def test_from_every_crash_of_a_resume_with_more_epochs_resuming_ends_bit_identical(
    tmp_path: Path, config: Path
) -> None:
    """This replaces resolved.yaml and the final weights."""
    whole = everything(train(config, tmp_path / "whole")[0])
    train(config, tmp_path / "runs", ["fit.epochs=3"])
    longer = ["fit.epochs=4"]
    runs = tmp_path / "runs"
    work = states(runs, tmp_path / "states", lambda: go_on(index.find_run("latest", runs), longer))
    begun, _, wrong = lost(work, whole, longer)
    assert wrong == []
    assert begun > 20


def test_whichever_operation_of_a_run_fails_it_ends_with_code_6_and_goes_on_bit_identical(
    tmp_path: Path, config: Path
) -> None:
    whole = everything(train(config, tmp_path / "whole")[0])
    codes = [errno.EIO, errno.ENOSPC, errno.EACCES, errno.EDQUOT, errno.EROFS]
    failed, runs = 0, tmp_path / "runs"
    for nth in range(1, 1000, 12):
        shutil.rmtree(runs, ignore_errors=True)
        with pytest.MonkeyPatch.context() as patch:
            disk = disk_of(patch, failing(codes[nth % len(codes)]), nth)
            if disk_fails(lambda: train(config, runs)):
                failed += 1
        if disk.count < nth:
            break
        if index.list_runs(runs):
            assert resumed(runs) in (None, whole), nth
    assert failed > 20


def disk_fails(work: Callable[[], object]) -> bool:
    try:
        work()
    except StorageError:
        return True
    return False


# Writers that get it wrong; of the states, a sample


def test_control_run_json_first_loses_runs(tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Format 1's order: the run began before its config and its fitted transforms were written."""
    whole = everything(train(config, tmp_path / "whole")[0])
    real = RunRecord.write_config

    def begin_first(run: RunRecord, text: str) -> None:
        run.begin({})
        real(run, text)

    monkeypatch.setattr(RunRecord, "write_config", begin_first)
    runs = tmp_path / "runs"
    _, _, wrong = lost(some(states(runs, tmp_path / "states", lambda: train(config, runs))), whole)
    assert len(wrong) >= 5


def test_control_a_slot_that_no_manifest_names_is_lost(
    tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = everything(train(config, tmp_path / "whole")[0])
    monkeypatch.setattr(Checkpoints, "_slots_of", lambda self, path: [])
    runs = tmp_path / "runs"
    _, _, wrong = lost(states(runs, tmp_path / "states", lambda: train(config, runs)), whole)
    assert len(wrong) > 0


def test_control_a_history_that_is_not_cut_has_epochs_twice(
    tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = everything(train(config, tmp_path / "whole")[0])
    found = list(states(tmp_path / "runs", tmp_path / "states", lambda: train(config, tmp_path / "runs")))
    monkeypatch.setattr("kerascli.runs.history.HistoryWriter.cut", lambda self: None)
    assert len(lost(some(iter(found)), whole)[2]) > 0


def test_control_a_file_replaced_before_run_json_knows_of_it_is_refused(
    tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = everything(train(config, tmp_path / "whole")[0])
    train(config, tmp_path / "runs", ["fit.epochs=3"])
    runs, longer = tmp_path / "runs", ["fit.epochs=4"]

    def careless(run: Any, name: str, data: Any) -> None:
        written = storage.write_bytes(run.path / name, data)
        facts = run.facts()
        run._write_facts({**facts, "files": {**facts["files"], name: written}})

    monkeypatch.setattr("kerascli.runs.checksums.VerifiedFiles._write_file", careless)
    work = states(runs, tmp_path / "states", lambda: go_on(index.find_run("latest", runs), longer))
    assert len(lost(some(work), whole, longer)[2]) > 0
