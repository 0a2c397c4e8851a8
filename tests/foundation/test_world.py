"""What launchers say of a process by environment variables."""

import pytest

from kerascli.foundation.errors import ConfigError
from kerascli.foundation.world import World, launch_of, restarts_of, world_of

TORCHRUN = {
    "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4",
    "TORCHELASTIC_RUN_ID": "job7", "TORCHELASTIC_RESTART_COUNT": "2",
}  # fmt: skip


def test_without_a_launcher_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {"PATH": "/bin"})
    assert world_of() == World()
    assert World().leads
    assert launch_of() is None
    assert restarts_of() == 0


def test_torchrun_describes_each_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", TORCHRUN)
    world = world_of()
    assert (world.rank, world.size, world.local_rank, world.local_size) == (5, 8, 1, 4)
    assert not world.leads
    assert launch_of() == "job7"
    assert restarts_of() == 2


def test_a_launch_without_a_name_is_known_by_its_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {**TORCHRUN, "TORCHELASTIC_RUN_ID": "none"})
    assert launch_of() not in (None, "none")


@pytest.mark.parametrize(
    "changed", [{"RANK": "8"}, {"RANK": "-1"}, {"LOCAL_RANK": "4"}, {"LOCAL_WORLD_SIZE": "9"}, {"WORLD_SIZE": "eight"}]
)
def test_contradictory_variables_are_refused(changed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {**TORCHRUN, **changed})
    with pytest.raises(ConfigError, match=r"contradict|expected an integer"):
        world_of()
