"""Processes exchange values and notices, and read why one of them ended."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import distributed as dist

from kerascli.cli.launching import _code_of
from kerascli.foundation.errors import ConfigError, ProcessLost, TrainingStopped
from kerascli.foundation.world import World
from kerascli.training.strategies.failures import Failures, in_thread
from kerascli.training.strategies.group import Group
from kerascli.training.strategies.members import checked_members
from kerascli.training.strategies.notices import CheckpointRequest, Notices
from tests.support.groups import on_threads

HERE, ELSEWHERE = (socket.gethostname(), os.getpid()), ("another machine", 1)


def failures(size: int = 2, store: Any = None, addresses: list[tuple[str, int]] | None = None) -> list[Failures]:
    """Return the failures that processes see, which are on machines of their own."""
    store = store or dist.HashStore()  # pyright: ignore[reportPrivateImportUsage]
    return [Failures(World(rank, size), store, addresses or [ELSEWHERE] * size) for rank in range(size)]


def test_one_process_exchanges_nothing() -> None:
    tensor, alone = torch.ones(3), Group()
    alone.add([tensor])
    assert tensor.tolist() == [1.0, 1.0, 1.0]
    assert alone.agree({"a": 1}) == [{"a": 1}]
    assert alone.gather(tensor)[0] is tensor


def test_values_are_exchanged_in_the_order_of_ranks() -> None:
    """Whatever their lengths are."""
    values = on_threads(lambda each: [each.agree("x" * 9 * each.world.rank), each.agree({"rank": each.world.rank})], 3)
    assert values == [[["", "x" * 9, "x" * 18], [{"rank": 0}, {"rank": 1}, {"rank": 2}]]] * 3


def test_one_process_alone_reports_a_failure_and_the_others_read_it() -> None:
    first, second = failures()
    assert second.is_first(ConfigError("no such table"), 2)
    assert str(first.reason()) == "process 1 of 2 failed: no such table"
    assert first.reason().exit_code == 2
    assert not first.is_first(first.reason(), 2)


def test_that_another_process_is_gone_is_told_on_in_the_words_of_the_first_who_noticed() -> None:
    """Not as a failure of the one that noticed it."""
    text = "process 3 of 4 ended without a reason, or stopped answering"
    first, second, *_ = failures(4)
    assert second.is_first(ProcessLost(text), 5)
    assert str(first.reason()) == text


def test_a_process_that_says_nothing_is_named_if_it_can_be_known() -> None:
    assert "process 1 of 2 ended without a reason, or stopped answering" in str(failures()[0].reason())
    assert str(failures(3)[0].reason()).startswith("a process ended without a reason, or stopped answering")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell it")
def test_a_stopped_process_of_this_machine_goes_on_to_see_that_it_is_over() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    first, *_ = failures(3, addresses=[HERE, (HERE[0], child.pid), ELSEWHERE])
    child.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    assert str(first.reason()).startswith("a process ended without a reason, or stopped answering")
    assert os.waitid(os.P_PID, child.pid, os.WCONTINUED | os.WNOHANG) is not None
    child.kill()
    child.communicate()


def test_a_store_that_is_gone_while_a_process_waits_for_process_0_is_no_other_error() -> None:
    _, second = failures(2, Gone())
    assert second.is_first(TrainingStopped("the loss is nan"), 5)


class Gone:
    """Store whose process has ended."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        raise RuntimeError("broken pipe")


def test_a_store_that_is_gone_was_that_of_process_0() -> None:
    """One of the others reports it."""
    _, second, third = failures(3, Gone())
    assert str(second.reason()).startswith("process 0 of 3 ended without a reason, or stopped answering")
    assert [each.is_first(second.reason(), 5) for each in (second, third)] == [True, False]


def test_a_store_whose_process_is_stopped_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()

    class Stopped:
        def check(self, keys: list[str]) -> None:
            goes_on.wait()

    monkeypatch.setattr("kerascli.training.strategies.failures._SECONDS_FOR_STORE", 0.05)
    assert str(failures(2, Stopped())[1].reason()).startswith("process 0 of 2")
    goes_on.set()


def test_what_a_thread_raises_is_raised_where_it_is_waited_for() -> None:
    def fail() -> None:
        raise ValueError("here")

    with pytest.raises(ValueError, match="here"):
        in_thread(fail)
    assert in_thread(lambda: 3) == 3


def test_notices_of_any_process_are_known_to_all_after_the_same_sum() -> None:
    notices = Notices(2)
    notices.signals.number = 15
    notices.request, notices.has_written = CheckpointRequest.NOW, True
    assert notices.common_signal is None
    notices.keep(torch.tensor([0, notices.own]))
    assert notices.common_signal == 15
    assert notices.common_request == CheckpointRequest.NOW
    assert not notices.all_have_written
    notices.take([notices.own, notices.own])
    assert notices.all_have_written
    notices.forget_checkpoint()
    notices.take([0, 0])
    assert (notices.common_signal, notices.common_request) == (None, CheckpointRequest.NONE)


@pytest.mark.parametrize(
    ("codes", "code", "text"),
    [
        ({0: 5, 1: -9, 2: 5}, 5, "process 1 was ended by SIGKILL"),
        ({0: 143, 1: -11}, 5, "process 1 was ended by SIGSEGV"),
        ({0: 2, 1: -9}, 2, ""),  # it hung, and the launcher has killed it
        ({0: -15, 1: 5}, 5, ""),
        ({0: 143, 1: -15}, 143, ""),
    ],
)
def test_the_launcher_names_who_was_killed(
    codes: dict[int, int], code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _code_of(codes) == code
    assert capsys.readouterr().err.strip() == text


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"config": "b"}, "process 1 on .* has another config than process 0"),
        ({"data": {"t.csv": "2"}}, "has another data than process 0"),
        ({"weights": "2"}, "has another set of weights than process 0"),
    ],
)
def test_processes_that_would_train_different_models_are_refused(changed: dict[str, Any], text: str) -> None:
    def work(each: Group) -> object:
        given = {"config": "a", "data": {"t.csv": "1"}, "weights": "1"} | (changed if each.world.rank else {})
        return checked_members(each, **given)

    for error in on_threads(work):
        assert isinstance(error, ConfigError)
        assert re.search(text, str(error))


def test_equal_processes_have_their_hosts_recorded() -> None:
    members = on_threads(lambda each: checked_members(each, "a", {"t.csv": "1"}))[0]
    assert [set(member) for member in members] == [{"host", "device", "threads", "python", "torch"}] * 2
