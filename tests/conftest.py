"""Set up before other imports: Keras uses torch on one thread, and plots need no display."""

import functools
import gc
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
import typer.testing

from kerascli.foundation.interrupts import SIGNALS
from tests.parity.books import Books
from tests.support.core import Core, add_options
from tests.support.hdf5_forks import fork_readers
from tests.support.needs import MARKER, Needs
from tests.support.quick import leave_out
from tests.support.server import Server

os.environ["KERAS_BACKEND"] = "torch"
os.environ["MPLBACKEND"] = "Agg"
os.environ["OMP_NUM_THREADS"] = "1"  # the tensors of tests are so small that threads wait for each other all the time
# torch's compiler believes what the CPU says: trying its vector instructions takes seconds in each new cache
os.environ["TORCHINDUCTOR_VEC_ISA_OK"] = "1"

gc.disable()  # until the tests begin: collection makes a million objects, and no garbage
# the commands stay the same while tests run
typer.main.get_command = functools.cache(typer.main.get_command)
typer.testing._get_command = typer.main.get_command  # pyright: ignore[reportPrivateImportUsage]
leave_out()
fork_readers()

_MEASURED = {
    "test_loss_metric_contract",
    "test_losses",
    "test_merging",
    "test_metrics",
    "test_ops",
    "test_schedules",
    "test_spectrogram",
}
"""Comparisons with Keras that alone reach much of what they compare."""
_CACHE = tempfile.TemporaryDirectory(prefix="kerascli-tests-")
os.environ["XDG_CACHE_HOME"] = (
    _CACHE.name
)  # what other runs have compiled is no business of the tests, nor theirs of runs

# A shell's background jobs begin with SIGINT ignored, those of nohup with SIGHUP, which a training would respect.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _nothing_has_been_compiled() -> None:
    """An empty cache for compiled code: `auto` would use programs that other tests compiled."""
    programs = Path(_CACHE.name, "kerascli", "compiled", "programs")
    if programs.exists():
        shutil.rmtree(programs)


@pytest.fixture(autouse=True)
def _the_process_is_as_before() -> Iterator[None]:
    """Restore environment variables, folder and signal handlers, some of which commands set for good."""
    environ, folder, handlers = dict(os.environ), os.getcwd(), {each: signal.getsignal(each) for each in SIGNALS}
    yield
    for name in os.environ.keys() - environ.keys():
        del os.environ[name]
    os.environ.update(environ)
    os.chdir(folder)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _torch_has_the_settings_from_before() -> Iterator[None]:
    """Restore torch's default dtype and number of threads, on which the last bits of sums depend, and its algorithms
    (which a model on the CPU sets) after each test."""
    torch = sys.modules.get("torch")
    before = (torch.get_default_dtype(), torch.get_num_threads()) if torch else None
    yield
    if torch and before is not None:
        torch.set_default_dtype(before[0])
        if torch.get_num_threads() != before[1]:
            torch.set_num_threads(before[1])
    if torch := sys.modules.get("torch"):
        torch.set_deterministic_debug_mode("default")


@pytest.fixture(autouse=True)
def _keras_forgets_its_policy() -> None:
    """Reset Keras's dtype policy, which it keeps from the first layer whatever `floatx` a test sets."""
    if "keras" in sys.modules:
        from keras.src.backend.common import global_state

        global_state.set_global_attribute("dtype_policy", None)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """Local server for downloads, with an empty Keras home below `tmp_path`."""
    found = Server()
    thread = threading.Thread(target=found.http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("KERASCLI_DATASETS_URL", found.url)
    monkeypatch.setenv("no_proxy", "*")
    yield found
    found.http.shutdown()
    found.http.server_close()
    thread.join()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty torch cache, without network access."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("KERASCLI_DATASETS_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "torch"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Measure no coverage of benchmarks and of layers beside Keras's: to trace Keras's lines takes half as long again.

    Other tests reach the lines of ours that these run.
    """
    for item in items:
        folder = item.path.parent.name
        if folder == "benchmarks" or (folder == "parity" and item.path.stem not in _MEASURED):
            item.add_marker("no_cover")


def pytest_collection_finish() -> None:
    """Leave all that has been collected out of later collections of garbage, each of which would go through it."""
    gc.freeze()
    gc.enable()


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)
    parser.addoption("--parity-report", type=Path, help="write what was compared with Keras, as a page of tables")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Books(), "parity-books")
    config.pluginmanager.register(Needs(), "needs")
    config.pluginmanager.register(Core(), "core")
    config.addinivalue_line("markers", MARKER)
