import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="torch has GNU OpenMP on Linux")

WATCHED = """
import os, threading, time
import torch
from kerascli.foundation import waiting

contended = threading.Event()
waiting.PERIOD = 0.01
waiting.affinity = lambda: 2  # also on a machine with one CPU
waiting.seconds_waited = lambda: time.monotonic() if contended.is_set() else 0.0

def becomes(count):
    end = time.monotonic() + 60
    while len(os.listdir("/proc/self/task")) != count:
        assert time.monotonic() < end, (os.listdir("/proc/self/task"), threading.enumerate())
        time.sleep(0.01)

torch.ones(2**20).sum()  # torch's threads
alone = len(os.listdir("/proc/self/task"))
for _ in range(2):
    waiting.adapt_waiting(2)
becomes(alone + 1)  # the one that looks
contended.set()
becomes(alone + 2)  # and another: with torch's two, one more than CPUs
contended.clear()
becomes(alone + 1)
contended.set()
becomes(alone + 2)
"""


def _run(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("OMP", "GOMP", "KMP"))}
    return subprocess.run(
        [sys.executable, "-c", code], env={**environ, **variables}, capture_output=True, text=True, timeout=100
    )


def test_idle_openmp_threads_are_there_while_the_cpus_are_contended() -> None:
    done = _run(WATCHED, GOMP_SPINCOUNT="3000")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("threads", "variables"),
    [
        (1, {"GOMP_SPINCOUNT": "3000"}),
        (2**16, {"GOMP_SPINCOUNT": "3000"}),  # more than CPUs: they sleep anyway
        (2, {"GOMP_SPINCOUNT": "0"}),
        (2, {"OMP_WAIT_POLICY": "active"}),
    ],
)
def test_waiting_is_adapted_only_to_several_threads_and_if_the_user_has_said_nothing(
    threads: int, variables: dict[str, str]
) -> None:
    code = f"""
import threading
import torch
from kerascli.foundation.cpus import prepare_environment
from kerascli.foundation.waiting import adapt_waiting
prepare_environment()
adapt_waiting({threads})
assert threading.active_count() == 1
"""
    done = _run(code, **variables)
    assert done.returncode == 0, done.stderr


def test_the_wait_of_threads_for_a_cpu_is_summed() -> None:
    code = """
import hashlib, os, threading, time
from kerascli.foundation.cpus import seconds_waited
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
stop = threading.Event()
def work():
    while not stop.is_set():
        hashlib.sha256(bytes(2**20))  # without the GIL
threads = [threading.Thread(target=work) for _ in range(2)]
before = seconds_waited()
for thread in threads:
    thread.start()
end = time.monotonic() + 60
while seconds_waited() - before < 0.5:
    assert time.monotonic() < end
    time.sleep(0.01)
stop.set()
"""
    done = _run(code)
    assert done.returncode == 0, done.stderr
