"""Which run the processes of a launcher go on with, after a restart with as many processes or others."""

from pathlib import Path

import pytest

from kerascli.cli.process_group import interrupted_run
from kerascli.runs.record import RunRecord
from kerascli.workflow.fitting.options import Options

CONFIG = "model: {layers: [{dense: 1}]}\n"
COMMAND = ("train", "c.yaml", "--name", "big")


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunRecord:
    """A run that the launch job7 has begun; one process of this launch is left."""
    for name, value in {"TORCHELASTIC_RUN_ID": "job7", "RANK": "0", "WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TORCHELASTIC_RESTART_COUNT", raising=False)
    (tmp_path / "c.yaml").write_text(CONFIG)
    run = RunRecord.create(tmp_path / "runs", "big")
    with run.locked():
        run.write_config(CONFIG)
        run.begin({"launch": "job7", "command": "kerascli train c.yaml --name big"})
    return run


def found(run: RunRecord, command: tuple[str, ...] = COMMAND) -> str | None:
    folder = run.path.parent
    return interrupted_run(Options(runs_dir=folder, device="cpu", command=command), folder.parent / "c.yaml")


def test_one_process_that_is_left_goes_on_with_the_run(begun: RunRecord) -> None:
    """The launcher has not counted it as a restart: machines have joined or left, or it was started again itself."""
    assert found(begun) == str(begun.path)


def test_another_launch_or_none_starts_a_run_of_its_own(begun: RunRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job8")
    assert found(begun) is None
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    assert found(begun) is None


def test_a_launch_of_the_same_name_for_another_training_starts_a_run(begun: RunRecord) -> None:
    assert found(begun, (*COMMAND, "--epochs", "3")) is None
    (begun.path.parent.parent / "c.yaml").write_text(f"{CONFIG}# changed\n")
    assert found(begun) is None


def test_a_run_that_is_complete_is_done_again_only_where_its_launcher_restarts(
    begun: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    with begun.locked():
        begun.finish("completed")
    assert found(begun) is None
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert found(begun) == str(begun.path)


def test_a_damaged_run_is_passed_over(begun: RunRecord) -> None:
    (begun.path / "run.json").write_text("{")
    assert found(begun) is None
