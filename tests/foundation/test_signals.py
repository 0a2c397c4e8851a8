"""Signals are never lost: the program ends with its exit code, and a training is saved first."""

import contextlib
import gc
import hashlib
import os
import pty
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kerascli.cli import app as program
from kerascli.cli import commands
from kerascli.config import data
from kerascli.config.load import open_config
from kerascli.foundation import interrupts
from kerascli.foundation.errors import Interrupted, KerasCliError, StorageError
from kerascli.foundation.events import EpochEnd, Stopped
from kerascli.foundation.interrupts import SIGNALS, Signalled, deferred, listening
from kerascli.report.console import TrainingView
from kerascli.runs.index import find_run
from kerascli.runs.record import RunRecord
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.train import start
from tests.support.runs_harness import HARD, go_on, outcome, train, write

CODES = {signal.SIGHUP: 129, signal.SIGINT: 130, signal.SIGTERM: 143}
LONG = (
    HARD.replace("epochs: 20", "epochs: 100000")
    .replace("patience: 6", "patience: 100000")
    .replace(
        "metrics: [accuracy]",
        "metrics: [accuracy]\n  jit_compile: false",  # which `auto` would do before so many epochs
    )
)


@pytest.fixture(autouse=True)
def insistent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Raise a swallowed exception again soon; the test runner's handlers are restored afterwards."""
    monkeypatch.setattr(interrupts, "INSIST_SECONDS", 0.01)
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # where Python tells of what it dropped
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run(work: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> object:
    """Return the program's exit code when its command does `work`."""
    monkeypatch.setattr(commands, "app", lambda prog_name: work())
    with pytest.raises(SystemExit) as end:
        program.main()
    return end.value.code


def forked(work: Callable[[], object]) -> int:
    """Return the exit code of a child that does `work`; 0 if it finishes."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except SystemExit as end:
            os._exit(end.code if isinstance(end.code, int) else 1)
        except BaseException:
            os._exit(99)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# Where Python swallows an exception


def raise_signal() -> None:
    """Send a signal as another process would; the handler runs before this returns."""
    os.kill(os.getpid(), signal.SIGTERM)


class Mortal:
    def __del__(self) -> None:
        raise_signal()


def in_a_finalizer() -> None:
    Mortal()


def in_a_weakref_callback() -> None:
    mortal = {1}
    seen = weakref.ref(mortal, lambda _: raise_signal())
    del mortal
    assert seen() is None


def in_a_garbage_collection() -> None:
    one = Mortal()
    one.itself = one  # type: ignore[attr-defined]
    del one
    gc.collect()


def under_a_bare_except() -> None:
    with contextlib.suppress(BaseException):
        raise_signal()


def turned_into_an_error() -> None:
    try:
        raise_signal()
    except BaseException:
        raise ValueError("a library's own") from None


PLACES = [in_a_finalizer, in_a_weakref_callback, in_a_garbage_collection, under_a_bare_except]


@pytest.mark.parametrize("place", PLACES)
def test_a_signal_whose_exception_is_swallowed_ends_the_program_all_the_same(
    place: Callable[[], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reached = []

    def work() -> None:
        place()
        reached.append("after it")
        for _ in range(3000):
            time.sleep(0.01)
        reached.append("its end")

    assert run(work, monkeypatch) == 143
    assert "its end" not in reached
    assert capsys.readouterr().err == "error: interrupted\n"


@pytest.mark.parametrize("place", [*PLACES, turned_into_an_error])
def test_a_signal_at_the_very_end_of_a_command_is_not_lost(
    place: Callable[[], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(place, monkeypatch) == 143
    assert capsys.readouterr().err == "error: interrupted\n"


@pytest.mark.parametrize("place", PLACES)
def test_a_signal_from_before_a_training_is_taken_over_by_it(
    place: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupts, "INSIST_SECONDS", 60.0)
    taken = []

    def work() -> None:
        place()
        with deferred() as stop:
            taken.append(stop.number)
            raise Interrupted("saved", signal_number=signal.SIGTERM)

    assert run(work, monkeypatch) == 143
    assert taken == [signal.SIGTERM]


def test_a_training_that_takes_a_signal_over_saves_says_how_to_go_on_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(interrupts, "INSIST_SECONDS", 60.0)
    config = write(tmp_path, HARD)
    whole, _ = train(config, tmp_path / "whole", ["fit.epochs=2"])
    create = RunRecord.create

    def work() -> None:
        for _ in start(open_config(config, sets=["fit.epochs=2"]), Options(runs_dir=tmp_path / "runs")):
            pass

    monkeypatch.setattr(RunRecord, "create", lambda *given: (in_a_weakref_callback(), create(*given))[1])
    assert run(work, monkeypatch) == 143
    left = find_run("latest", tmp_path / "runs")
    assert capsys.readouterr().err.splitlines() == [
        "error: interrupted at epoch 1, step 0; saved",
        f"  hint: resume with: kerascli train --resume {left.path}",
    ]
    assert left.status() == "interrupted"
    go_on(left)
    assert outcome(left) == outcome(whole)


def test_code_that_swallows_every_exception_is_left_in_the_end() -> None:
    def work() -> None:
        with listening():
            raise_later()
            while True:
                with contextlib.suppress(BaseException):
                    while True:
                        time.sleep(0.001)

    assert forked(work) == 143


def raise_later() -> None:
    signal.signal(signal.SIGALRM, lambda *_: raise_signal())
    signal.setitimer(signal.ITIMER_REAL, 0.01)


def test_cleaning_up_after_a_signal_is_not_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    cleaned = []

    def work() -> None:
        try:
            raise_signal()
        finally:
            for _ in range(20):  # many times as long as it takes to insist
                time.sleep(0.01)
            cleaned.append(True)

    assert run(work, monkeypatch) == 143
    assert cleaned == [True]


def test_an_error_of_the_work_that_a_signal_left_alone_keeps_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full when the checkpoint is written."""

    def work() -> None:
        with deferred():
            raise_signal()
            raise StorageError("no space")

    assert run(work, monkeypatch) == 6


def test_an_early_end_of_a_training_does_not_make_later_signals_go_unheard(monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> None:
        with contextlib.suppress(KerasCliError), deferred():
            raise StorageError("no space")
        raise_signal()

    assert run(work, monkeypatch) == 143


@pytest.mark.parametrize("takes_long", [False, True])
def test_an_import_is_brought_to_its_end_unless_it_takes_long(
    takes_long: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception during an import can be swallowed, or abort C++ code."""
    monkeypatch.setattr(interrupts, "INSIST_SECONDS", 0.05)
    seconds = 30 if takes_long else 0.05
    code = f"import os, signal, time\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep({seconds})\nEND = True\n"
    (tmp_path / "imported_when_a_signal_comes.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)

    def work() -> None:
        __import__("imported_when_a_signal_comes")
        for _ in range(3000):
            time.sleep(0.01)
        os._exit(7)

    assert run(work, monkeypatch) == 143
    imported = sys.modules.pop("imported_when_a_signal_comes", None)
    assert hasattr(imported, "END") is not takes_long


# Asked twice


def test_a_second_signal_ends_the_program_even_in_the_middle_of_c_code() -> None:
    def work() -> None:
        parent = os.getpid()
        if os.fork() == 0:
            for _ in range(2):
                time.sleep(0.1)
                os.kill(parent, signal.SIGTERM)
            os._exit(0)
        with listening(), deferred():
            hashlib.pbkdf2_hmac("sha256", b"x", b"y", 2 * 10**8)  # minutes, in which Python runs no handler
            os._exit(7)

    assert forked(work) == 143


@pytest.mark.parametrize("listens", [True, False])
def test_a_second_signal_ends_a_training_at_once(listens: bool) -> None:
    def work() -> None:
        with listening() if listens else contextlib.nullcontext(), deferred():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            os._exit(7)

    assert forked(work) == 143


def test_a_closed_terminal_which_sends_sighup_several_times_does_not_count_as_asked_twice() -> None:
    def work() -> None:
        with listening(), deferred() as stop:
            for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM, signal.SIGHUP):
                signal.raise_signal(number)
            time.sleep(0.05)
            os._exit(7 if stop.number == signal.SIGHUP else 8)

    assert forked(work) == 7


# The life of a program


@pytest.mark.parametrize("number", CODES)
def test_a_signal_before_anything_is_imported_ends_in_one_line(number: signal.Signals) -> None:
    """The entry point imports only itself, sets its handlers, and then imports the rest."""
    code = (
        "import os, signal, sys\n"
        "import kerascli.__main__\n"
        "ours = [name for name in sys.modules if name.startswith(('kerascli', 'typer'))]\n"
        "assert ours == ['kerascli', 'kerascli.__main__'], ours\n"
        f"os.kill(os.getpid(), {int(number)})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (CODES[number], "error: interrupted\n")


@pytest.mark.parametrize(("rank", "said"), [("0", "error: interrupted\n"), ("1", "")])
def test_of_processes_that_all_get_a_signal_the_first_says_so(rank: str, said: str) -> None:
    code = f"import os, kerascli.__main__; os.kill(os.getpid(), {int(signal.SIGTERM)})"
    environment = os.environ | {"RANK": rank, "WORLD_SIZE": "2"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (CODES[signal.SIGTERM], said)


def test_an_exception_for_a_signal_that_python_drops_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.setattr(sys, "__unraisablehook__", lambda lost: told.append(lost.exc_type))

    class Dropping:
        def __init__(self, error: BaseException) -> None:
            self.error = error

        def __del__(self) -> None:
            raise self.error

    with listening():
        Dropping(Signalled(signal.SIGTERM))
        Dropping(ValueError("of a user"))
    assert told == [ValueError]


def test_the_installed_program_begins_there() -> None:
    text = Path(__file__).parent.parent.parent.joinpath("pyproject.toml").read_text(encoding="utf-8")
    assert 'kerascli = "kerascli.__main__:main"' in text


@pytest.mark.parametrize("number", CODES)
def test_a_signal_saves_says_how_to_go_on_and_exits_by_the_table(tmp_path: Path, number: signal.Signals) -> None:
    config = write(tmp_path, LONG)
    command = [sys.executable, "-m", "kerascli", "train", str(config)]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch"):
            break
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == CODES[number], errors
    run = find_run("latest", tmp_path / "runs")
    tail = errors.strip().splitlines()[-2:]
    assert tail[0].startswith("error: interrupted at epoch ")
    assert tail[1] == f"  hint: resume with: kerascli train --resume runs/{run.folder_name}"
    assert run.status() == "interrupted"
    assert RunRecord.open(run.path).checkpoints.newest().step > 0


def test_a_training_whose_terminal_is_closed_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is saved even if it still writes to the terminal."""
    config = write(tmp_path, LONG)
    monkeypatch.chdir(tmp_path)
    pid, terminal = pty.fork()
    if pid == 0:
        monkeypatch.undo()
        os.chdir(tmp_path)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")  # not the test runner's
        sys.argv = ["kerascli", "train", str(config), "--profile"]
        try:
            program.main()
        except SystemExit as end:
            os._exit(end.code if isinstance(end.code, int) else 1)
        os._exit(0)
    said = b""
    while b"epoch" not in said:
        said += os.read(terminal, 4096)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 129
    run = find_run("latest", tmp_path / "runs")
    assert run.status() == "interrupted"
    assert len(run.checkpoints.steps()) > 0


def test_a_signal_after_the_last_step_says_that_all_is_there(tmp_path: Path) -> None:
    config = write(tmp_path, HARD)
    whole, _ = train(config, tmp_path / "whole", ["fit.epochs=2"])
    events = start(open_config(config, sets=["fit.epochs=2"]), Options(runs_dir=tmp_path / "runs"))
    signals = (signal.raise_signal(signal.SIGTERM) for event in events if isinstance(event, Stopped))
    with pytest.raises(Interrupted, match="the training had ended and is complete"):
        list(signals)
    run = find_run("latest", tmp_path / "runs")
    assert run.status() == "completed"
    assert outcome(run) == outcome(whole)


def test_a_signal_while_the_data_is_read_for_a_resume_is_not_put_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(write(tmp_path, HARD), tmp_path / "runs", ["fit.epochs=1"])
    before = find_run("latest", tmp_path / "runs")

    def read(*_: object, **__: object) -> None:
        raise_signal()
        os._exit(7)

    monkeypatch.setattr(data, "load_data", read)
    assert run(lambda: go_on(before), monkeypatch) == 143
    assert before.status() == "completed"


def test_an_epochs_line_that_cannot_be_shown_any_more_stops_nothing(tmp_path: Path) -> None:
    """The progress bar is removed from a terminal that is closed."""
    view = TrainingView(open(os.devnull, "w"))  # noqa: SIM115
    view.live = True

    class Gone:
        def stop(self) -> None:
            raise OSError

    view._progress = Gone()  # type: ignore[assignment]
    view.show(EpochEnd(1, 1, {}, 0.0, (), (), ()))
    assert view._progress is None


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_python_drops_is_remembered(number: signal.Signals) -> None:
    """Such as a signal while its handler is replaced: Python finds no handler and continues."""

    def lose() -> None:
        with listening():
            signal.signal(number, lambda *_: None)
            signal.raise_signal(number)

    with pytest.raises(interrupts.Signalled) as caught:
        lose()
    assert caught.value.code == CODES[number]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no signal at the end of the parent process")
def test_a_process_is_terminated_when_the_launcher_that_started_it_is_killed() -> None:
    worker = (
        "import time; from kerascli.foundation.interrupts import end_with_parent; "
        "end_with_parent(); print(0, flush=True); "
    )
    launcher = (
        "import subprocess, sys; "
        f"child = subprocess.Popen([sys.executable, '-c', {worker + 'time.sleep(60)'!r}], stdout=subprocess.PIPE); "
        "child.stdout.readline(); print(child.pid, flush=True); child.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", launcher], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
    until = time.monotonic() + 20
    while _is_alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _is_alive(pid)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
