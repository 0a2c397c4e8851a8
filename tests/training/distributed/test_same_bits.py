"""With `shards`, weights and history have the same bits on 1, 2 and 4 processes, and by resume on any of them."""

from pathlib import Path

import pytest

from kerascli.runs.record import RunRecord
from tests.support.processes import run_on
from tests.training.distributed.configs import ALL
from tests.training.distributed.ended_runs import bits, run_of, succeeded

OPTIONS = ("--threads", "1", "--device", "cpu", "--quiet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in which all models were trained on 1, 2 and 4 processes."""
    folder = tmp_path_factory.mktemp("bits")
    for name, text in ALL.items():
        (folder / f"{name}.yaml").write_text("seed: 5\n" + text)
    for processes in (1, 2, 4):
        commands = [("train", f"{name}.yaml", "--name", f"{name}-on-{processes}", *OPTIONS) for name in ALL]
        succeeded(run_on(processes, folder, *commands))
    return folder


@pytest.mark.parametrize("name", ALL)
def test_weights_and_history_do_not_depend_on_the_number_of_processes(folder: Path, name: str) -> None:
    on_one = bits(run_of(folder, f"{name}-on-1"))
    assert bits(run_of(folder, f"{name}-on-2")) == on_one
    assert bits(run_of(folder, f"{name}-on-4")) == on_one


def test_a_run_continues_on_other_numbers_of_processes(folder: Path) -> None:
    train = ("train", "cnn.yaml", "--name")
    succeeded(
        run_on(
            1,
            folder,
            (*train, "whole", *OPTIONS, "--set", "fit.epochs=4"),
            (*train, "parts", *OPTIONS, "--epochs", "1"),
        )
    )
    parts = run_of(folder, "parts")
    for epochs, processes in ((2, 2), (3, 4), (4, 1)):
        options = ("--threads", "1", "--quiet", "--set", f"fit.epochs={epochs}")
        succeeded(run_on(processes, folder, ("train", "--resume", str(parts), *options)))
    assert bits(parts) == bits(run_of(folder, "whole"))
    assert RunRecord(parts).facts()["earlier_process_counts"] == [1, 2, 4]
