"""Processes exchange values and signals, and hear why one of them ended."""

import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import distributed as dist

from kerascli.foundation.errors import ConfigError, ProcessLost
from kerascli.foundation.world import World
from kerascli.training.distributed.processes import ALONE, Processes
from kerascli.training.distributed.reasons import Reasons
from kerascli.training.distributed.timed_store import TimedStore, in_thread
from kerascli.workflow.fitting import follow


def both(work: Callable[[Processes], Any], *, timeout: float = 5.0) -> list[Any]:
    """Return what two processes, here threads with one store, return or raise."""
    store = dist.HashStore()  # pyright: ignore[reportPrivateImportUsage]
    found: list[Any] = [None, None]

    def run(rank: int) -> None:
        try:
            found[rank] = work(Processes(World(rank, 2), store, timeout))
        except Exception as error:
            found[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_one_process_exchanges_nothing() -> None:
    tensor = torch.ones(3)
    ALONE.add([tensor])
    assert tensor.tolist() == [1.0, 1.0, 1.0]
    assert ALONE.exchange({"a": 1}) == [{"a": 1}]
    assert ALONE.gather(tensor)[0] is tensor
    assert ALONE.is_first_to_fail(ConfigError("why"), 2)


def test_values_are_exchanged_in_the_order_of_ranks() -> None:
    found = both(lambda each: [each.exchange(each.world.rank), each.exchange({"rank": each.world.rank})])
    assert found == [[[0, 1], [{"rank": 0}, {"rank": 1}]]] * 2


def test_one_process_alone_reports_a_failure() -> None:
    assert sorted(both(lambda each: each.is_first_to_fail(ConfigError("no such file"), 2))) == [False, True]


class Gone:
    """Store whose process has ended."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        raise RuntimeError("broken pipe")


def test_a_busy_process_hears_the_reason_of_process_0_which_ends_with_the_store() -> None:
    """It computes while process 0 fails and leaves; later it repeats that reason, and is not the first to report."""
    store: Any = dist.HashStore()  # pyright: ignore[reportPrivateImportUsage]
    busy = TimedStore(store, 5.0)
    reasons = Reasons(World(1, 2), busy)
    reasons.listen()
    fails = Reasons(World(0, 2), TimedStore(store, 5.0))
    assert fails.leave("no such table", heard=False)
    assert reasons._thread is not None
    reasons._thread.join()
    busy._store = Gone()  # pyright: ignore[reportAttributeAccessIssue]
    assert str(reasons.found()) == "process 0 of 2 failed: no such table"
    assert not reasons.leave("process 0 of 2 failed: no such table", heard=True)


def test_a_process_that_leaves_makes_no_requests_to_the_store_any_more() -> None:
    """Python aborts a process that ends while one of its threads is in such a request."""
    reasons = Reasons(World(1, 2), TimedStore(dist.HashStore(), 5.0))  # pyright: ignore[reportPrivateImportUsage]
    reasons.listen()
    assert reasons._thread is not None
    assert reasons._thread.is_alive()
    reasons.end()
    assert not reasons._thread.is_alive()


def test_a_process_that_fails_tells_the_one_that_waits() -> None:
    def work(each: Processes) -> object:
        return each.is_first_to_fail(ConfigError("no such table"), 2) if each.world.rank else each.exchange(1)

    lost, is_first = both(work)
    assert is_first is True
    assert isinstance(lost, ProcessLost)
    assert str(lost) == "process 1 of 2 failed: no such table"


def test_a_process_that_says_nothing_is_named() -> None:
    lost, _ = both(lambda each: None if each.world.rank else each.exchange(1), timeout=0.1)
    assert isinstance(lost, ProcessLost)
    assert "process 1 of 2 ended without a reason, or stopped answering" in str(lost)


def test_that_another_process_is_gone_is_told_on_in_the_words_of_the_first_who_noticed() -> None:
    """Not as a failure of the one that noticed it."""
    text = "process 3 of 4 ended without a reason, or stopped answering"

    def work(each: Processes) -> object:
        return each.is_first_to_fail(ProcessLost(text), 5) if each.world.rank else each.exchange(1)

    assert str(both(work)[0]) == text


def test_values_of_earlier_exchanges_are_removed_from_the_store() -> None:
    store = dist.HashStore()  # pyright: ignore[reportPrivateImportUsage]
    processes = [Processes(World(rank, 2), store, 5.0) for rank in (0, 1)]

    def exchange(each: Processes) -> None:
        for number in range(20):
            assert each.exchange([number, each.world.rank]) == [[number, 0], [number, 1]]

    threads = [threading.Thread(target=exchange, args=(each,)) for each in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.num_keys() == 2


def test_a_store_whose_process_is_stopped_keeps_nobody_waiting() -> None:
    goes_on, requests = threading.Event(), []

    class Stopped:
        def set(self, key: str, value: str) -> None:
            requests.append(key)
            goes_on.wait()

    store = TimedStore(Stopped(), 0.05)  # type: ignore[arg-type]
    for key in ("a", "b", "c"):
        with pytest.raises(RuntimeError, match="the store does not answer"):
            store.set(key, "value")
    goes_on.set()
    assert requests == ["a"]  # the later ones are refused at once


def test_what_a_thread_raises_is_raised_where_it_is_waited_for() -> None:
    def fail() -> None:
        raise ValueError("here")

    with pytest.raises(ValueError, match="here"):
        in_thread(fail)
    assert in_thread(lambda: 3) == 3


def test_a_signal_of_any_process_is_known_to_all_after_the_same_sum() -> None:
    each = Processes(World(1, 2), dist.HashStore(), 5.0)  # pyright: ignore[reportPrivateImportUsage]
    each.signal = lambda: 15
    assert each.own_signal() == [0.0, 15.0]
    assert each.common_signal() is None
    each.keep_signals(torch.tensor([0, 15]))
    assert each.common_signal() == 15
    each.hear([0, 0])
    assert each.common_signal() is None


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"config": "b"}, "process 1 on .* has another config than process 0"),
        ({"data": {"t.csv": "2"}}, "has another data than process 0"),
        ({"weights": "2"}, "has another set of weights than process 0"),
    ],
)
def test_processes_that_would_train_different_models_are_refused(changed: dict[str, Any], text: str) -> None:
    def work(each: Processes) -> object:
        given = {"config": "a", "data": {"t.csv": "1"}, "weights": "1"} | (changed if each.world.rank else {})
        return follow.checked_members(each, **given)

    for error in both(work):
        assert isinstance(error, ConfigError)
        assert re.search(text, str(error))


def test_equal_processes_have_their_hosts_recorded() -> None:
    members = both(lambda each: follow.checked_members(each, "a", {"t.csv": "1"}))[0]
    assert [set(member) for member in members] == [{"host", "device", "threads", "python", "torch"}] * 2
