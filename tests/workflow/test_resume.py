"""A run that is killed and resumed ends bit-identical to an uninterrupted one."""

import copy
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load, save
from torch import Tensor

from kerascli.config.load import open_config
from kerascli.foundation.errors import ConfigError, DataError, FileRefused, Interrupted, TrainingStopped
from kerascli.foundation.events import BatchEnd, EpochEnd, Event, Note
from kerascli.runs.index import find_run
from kerascli.runs.record import RunRecord
from kerascli.workflow.fitting import saver
from kerascli.workflow.train import Options, start
from tests.support.chaos import train_with_kills
from tests.support.runs_harness import HARD, go_on, outcome, train, write


def test_a_run_killed_at_twenty_random_moments_ends_bit_identical(tmp_path: Path) -> None:
    config = write(tmp_path, HARD.replace("rows: 640", "rows: 6400"))  # long enough for a fast machine
    assert train_with_kills(config, tmp_path / "chaos", 20, 7) == 20
    chaos, (calm, _) = find_run("latest", tmp_path / "chaos"), train(config, tmp_path / "calm")
    assert outcome(chaos) == outcome(calm)
    assert chaos.log("log.csv") == calm.log("log.csv")
    assert len(chaos.history()) >= 8


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """Run of four epochs that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    return train(write(folder, HARD), folder, ["fit.epochs=4"])[0]


@pytest.mark.parametrize("stop_at", [1, 17, 32, 33, 95])
def test_a_run_left_after_any_step_goes_on_exactly(tmp_path: Path, stop_at: int, whole: RunRecord) -> None:
    """In the middle of an epoch, at its last batch, at the first of the next; 32 steps are an epoch."""
    config = write(tmp_path, HARD)
    leave(config, tmp_path / "left", stop_at)
    left = find_run("latest", tmp_path / "left")
    go_on(left)
    assert outcome(left) == outcome(whole)


def leave(config: Path, runs: Path, steps: int) -> None:
    """Start a run, save after `steps` steps and abandon it, like a kill."""
    run_options = Options(runs_dir=runs)
    save = saver.BATCH_SECONDS
    saver.BATCH_SECONDS = -1.0
    try:
        events = start(open_config(config, sets=["fit.epochs=4"]), run_options)
        seen = 0
        for event in events:
            if isinstance(event, BatchEnd):
                seen += 1
            elif seen == steps and type(event).__name__ == "Saved":
                break
        events.close()  # type: ignore[attr-defined]
    finally:
        saver.BATCH_SECONDS = save


def _signal_at(events: Iterator[Event], moment: Callable[[Event], bool]) -> None:
    """Run with a SIGTERM at each such moment."""
    for event in events:
        if moment(event):
            signal.raise_signal(signal.SIGTERM)


def test_a_finished_run_is_extended_as_if_it_had_been_longer(tmp_path: Path) -> None:
    config = write(tmp_path, HARD)
    whole, _ = train(config, tmp_path / "whole", ["fit.epochs=5"])
    short, _ = train(config, tmp_path / "short", ["fit.epochs=3"])
    go_on(short, ["fit.epochs=5"])
    assert outcome(short) == outcome(whole)
    assert open_config(short.resolved_path).document.at(("fit", "epochs")) == 5


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    run, _ = train(write(tmp_path, HARD), tmp_path, ["fit.epochs=2"])
    before = outcome(run)
    events = go_on(run)
    assert outcome(run) == before
    assert not [event for event in events if isinstance(event, EpochEnd)]


def test_a_resumed_run_keeps_its_settings(tmp_path: Path) -> None:
    run, _ = train(write(tmp_path, HARD), tmp_path, ["fit.epochs=1"])
    with pytest.raises(ConfigError, match=r"only fit\.epochs may change"):
        go_on(run, ["fit.batch_size=8"])


def test_a_run_cannot_be_made_shorter_than_it_is(tmp_path: Path) -> None:
    """Its weights are no longer those of the epoch at which it would end."""
    config = write(tmp_path, HARD)
    leave(config, tmp_path, 40)
    left = find_run("latest", tmp_path)
    with pytest.raises(ConfigError, match=r"has reached epoch 2, step 8: it cannot be made shorter"):
        go_on(left, ["fit.epochs=1"])
    go_on(left, ["fit.epochs=2"])
    assert len(left.history()) == 2


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    config = write(tmp_path, HARD)
    whole, _ = train(config, tmp_path / "whole", ["fit.epochs=3"])
    run, _ = train(config, tmp_path / "runs", ["fit.epochs=3"])
    newest = max((run.path / "checkpoints").glob("step-*.training.safetensors"), key=lambda p: p.name)
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    events = go_on(run)
    warnings = [event.text for event in events if isinstance(event, Note) and event.level == "warning"]
    assert len(warnings) == 1
    assert "damaged" in warnings[0]
    assert outcome(run) == outcome(whole)


def test_a_run_without_an_intact_checkpoint_is_refused(tmp_path: Path) -> None:
    run, _ = train(write(tmp_path, HARD), tmp_path, ["fit.epochs=2"])
    for file in (run.path / "checkpoints").glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(FileRefused, match="no intact checkpoint"):
        go_on(run)


def test_data_that_changed_since_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("a,b\n" + "".join(f"{i},{i % 2}\n" for i in range(40)))
    config = write(
        tmp_path,
        "data: {source: {csv: {path: table.csv}}, inputs: {a: []}, targets: {b: []}}\n"
        "model: {layers: [{dense: {units: 1, activation: sigmoid, input_shape: [1]}}]}\n"
        "compile: {loss: binary_crossentropy}\nfit: {epochs: 1}\n".replace("{a: []}", "{x: [{columns: [a]}]}"),
    )
    run, _ = train(config, tmp_path / "runs")
    table.write_text(table.read_text() + "41,1\n")
    with pytest.raises(DataError, match="the data has changed since the run began"):
        go_on(run)


@pytest.mark.parametrize("epoch", [2, 4])
def test_a_signal_at_an_epochs_end_loses_nothing_of_the_epoch(tmp_path: Path, epoch: int) -> None:
    """Its history row, log, and a callback's checkpoint: in the middle and at the last epoch."""
    keeps = HARD.replace("monitor: val_accuracy, save_best_only: true", "verbose: 0")
    config = write(tmp_path, keeps)
    whole, _ = train(config, tmp_path / "whole", ["fit.epochs=4"])
    events = start(open_config(config, sets=["fit.epochs=4"]), Options(runs_dir=tmp_path / "left"))
    with pytest.raises(Interrupted):
        _signal_at(events, lambda event: isinstance(event, EpochEnd) and event.epoch == epoch)
    left = find_run("latest", tmp_path / "left")
    assert len(left.history()) == epoch
    go_on(left)
    assert outcome(left) == outcome(whole)
    assert left.log("log.csv") == whole.log("log.csv")
    assert left.checkpoints.slots() == whole.checkpoints.slots()
    assert len(left.checkpoints.slots()) == 4


def test_a_bad_step_is_never_saved(tmp_path: Path) -> None:
    """Not even by a signal just before the loop detects it."""
    config = write(tmp_path, HARD.replace("learning_rate: 0.01", "learning_rate: 1.0e+30"))
    events = start(open_config(config), Options(runs_dir=tmp_path))
    with pytest.raises(TrainingStopped, match="nan or infinite"):
        _signal_at(events, lambda event: isinstance(event, BatchEnd) and event.step == 3)
    assert find_run("latest", tmp_path).checkpoints.steps() == []


def without(run: RunRecord, change: Callable[[dict[str, Any], dict[str, Tensor]], object]) -> None:
    """Rewrite the newest checkpoint with changed facts and tensors."""
    newest = run.checkpoints.newest()
    facts, tensors = copy.deepcopy(dict(newest.facts)), load(newest.blobs["training.safetensors"])
    change(facts, tensors)
    run.checkpoints.save(newest.step, {"training.safetensors": save(tensors)}, facts)


def test_a_checkpoint_that_lacks_a_part_of_the_state_is_from_another_version(tmp_path: Path) -> None:
    """For any part; for example, checkpoints from before phases have no 'phase' and no 'first'."""
    leave(write(tmp_path, HARD), tmp_path, 40)
    run = find_run("latest", tmp_path)
    good = run.checkpoints.newest()
    assert {"phase", "first", "row", "history", "callbacks"} <= good.facts.keys()
    lacks = [lambda facts, _, name=name: facts.pop(name) for name in good.facts]
    lacks += [
        lambda facts, _, index=index, name=name: facts["callbacks"][index].pop(name)
        for index, state in enumerate(good.facts["callbacks"])
        for name in state
    ]
    lacks += [
        lambda facts, _: facts["callbacks"].pop(),
        lambda facts, _: facts["callbacks"].clear(),
        lambda _, tensors: tensors.pop("states/1"),
        lambda _, tensors: [tensors.pop(name) for name in list(tensors) if name.startswith("states/")],
        lambda _, tensors: [tensors.pop(name) for name in list(tensors) if name.startswith("slots/")],
    ]
    for change in lacks:
        without(run, change)
        with pytest.raises(FileRefused, match="the newest checkpoint was made by another version of kerascli"):
            go_on(run)
        run.checkpoints.save(good.step, good.blobs, good.facts)
    go_on(run)


def test_a_checkpoint_with_more_or_other_state_is_refused(tmp_path: Path) -> None:
    leave(write(tmp_path, HARD), tmp_path, 40)
    run = find_run("latest", tmp_path)
    good = run.checkpoints.newest()
    odd: dict[str, Callable[[dict[str, Any], dict[str, Tensor]], object]] = {
        "made by another version of kerascli": lambda facts, _: facts.update(mood=1),
        "'epoch' has a wrong value": lambda facts, _: facts.update(epoch="2"),
        "'batch' has a wrong value": lambda facts, _: facts.update(batch=-1),
        "'callbacks.0' has a wrong value": lambda facts, _: facts.update(callbacks=[1]),
        "the weights are of another model": lambda _, tensors: tensors.pop("weights/dense/kernel"),
        "optimizer state does not match": lambda _, tensors: tensors.pop("optimizer/iterations"),
    }
    for text, change in odd.items():
        without(run, change)
        with pytest.raises(FileRefused, match=text):
            go_on(run)
        run.checkpoints.save(good.step, good.blobs, good.facts)
