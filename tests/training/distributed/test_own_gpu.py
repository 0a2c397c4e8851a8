"""Each process has a GPU of its own, and says which; stand-ins replace torch.cuda."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import distributed as dist

from kerascli.foundation.device import Choice
from kerascli.foundation.errors import ConfigError
from kerascli.foundation.world import World
from kerascli.training.strategies import members
from kerascli.training.strategies.group import Group
from tests.support.groups import on_threads

FOUND = Choice("cuda", "found")


def devices_of(monkeypatch: pytest.MonkeyPatch, gpus: dict[str, str], choices: tuple[Choice, Choice]) -> list[Any]:
    """Return the devices of two processes, here threads, or what is raised; `gpus` are ids of GPUs by device."""
    named = {device: SimpleNamespace(name="H100", uuid=gpu) for device, gpu in gpus.items()}
    monkeypatch.setattr(torch.cuda, "get_device_properties", named.__getitem__)
    monkeypatch.setattr(members, "of_process", lambda choice, rank, _: Choice(f"{choice.value}:{rank}", "found")
        if choice.value == "cuda" else choice)  # fmt: skip
    return on_threads(lambda each: (members.own_device(choices[each.world.rank], each).value, each.device))


def test_processes_have_devices_of_their_own_and_name_them(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = devices_of(monkeypatch, {"cuda:0": "a", "cuda:1": "b"}, (FOUND, FOUND))
    assert devices == [(f"cuda:{rank}", f"cuda:{rank} (H100)") for rank in (0, 1)]


def test_two_processes_with_one_gpu_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with CUDA_VISIBLE_DEVICES=0 for both, or a launcher that sets no LOCAL_RANK."""
    for error in devices_of(monkeypatch, {"cuda:0": "a", "cuda:1": "a"}, (FOUND, FOUND)):
        assert isinstance(error, ConfigError)
        assert str(error).startswith("2 processes have 1 GPU: each needs one of its own")


def test_all_processes_have_gpus_or_none_has(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = Choice("cpu", "no GPU found")
    for error in devices_of(monkeypatch, {"cuda:0": "a"}, (FOUND, cpu)):
        assert isinstance(error, ConfigError)
        assert str(error).startswith("2 processes have 1 GPU: each needs one of its own")
    assert devices_of(monkeypatch, {}, (cpu, cpu)) == [("cpu", "cpu")] * 2
    assert members.own_device(Choice("cuda:1", "asked for"), Group()).value == "cuda:1"


def joined(monkeypatch: pytest.MonkeyPatch, device: str) -> list[tuple[Any, Any]]:
    """Connect a process that trains on a device; return the calls of torch's functions."""
    calls: list[tuple[Any, Any]] = []
    store = dist.HashStore()  # pyright: ignore[reportPrivateImportUsage]
    monkeypatch.setattr(
        sys.modules["torch.distributed.rendezvous"], "rendezvous", lambda url, **_: iter([(store, 3, 8)])
    )
    monkeypatch.setattr(dist, "init_process_group", lambda *given, **named: calls.append((given, named)))
    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: pytest.fail("a GPU is used before a process has its own"))
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr(Group, "agree", lambda group, value: [value] * 8)
    Group.join(World(3, 8, 3, 8), device, timeout=100.0)
    return calls


def test_tensors_of_cpus_go_by_gloo_and_those_of_gpus_by_nccl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dist, "is_nccl_available", lambda: True)
    [(backend, named)] = joined(monkeypatch, "cuda")
    assert backend == ("cpu:gloo,cuda:nccl",)
    assert (named["rank"], named["world_size"], named["timeout"].total_seconds()) == (3, 8, 100.0)
    assert "device_id" not in named  # it would connect GPUs before a process has been told that it has none
    [(backend, named)] = joined(monkeypatch, "cpu")
    assert backend == ("gloo",)
    assert named["timeout"].total_seconds() == 100.0


def test_a_torch_without_nccl_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dist, "is_nccl_available", lambda: False)
    with pytest.raises(ConfigError, match="built without NCCL"):
        joined(monkeypatch, "cuda")
    assert joined(monkeypatch, "cpu")
