"""Both execution modes are timed after a long run, and later runs of the same step use the faster one."""

from pathlib import Path

import pytest

from kerascli.compiler import compiling
from kerascli.compiler.cache import Verdict
from kerascli.training import execution_mode
from kerascli.training.execution_mode import learn_mode, make_runner, traced
from kerascli.training.forward_pass import Eager, Request
from tests.support.needs import needs_a_compiler
from tests.support.runs_harness import outcome, train, write
from tests.training.test_execution_mode import CONFIGS, CONVOLUTIONAL, request_of


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)


def digest_of(request: Request) -> str:
    program, _ = traced(Eager(request.forward_pass), request.batches[0])
    return compiling.digest_of(program.code, program.examples)


@pytest.mark.parametrize(("traced_seconds", "mode"), [(0.001, "traced"), (0.003, "compiled")])
def test_auto_takes_the_mode_that_was_faster(traced_seconds: float, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`jit_compile: false` still wins."""
    request, _ = request_of(CONFIGS / "tiny.yaml", steps=40_000)
    Verdict(traced_seconds, 0.002).keep(digest_of(request))
    monkeypatch.setattr("kerascli.training.execution_mode.reason_not_to_compile", lambda code, device: None)
    monkeypatch.setattr("kerascli.compiler.program.compiled", lambda code, examples: code.forward)
    _, choice = make_runner(request)
    text = f"timed after an earlier run: {1000 * traced_seconds:g} ms traced, 2 ms compiled"
    assert (choice.value, choice.reason) == (mode, text)
    assert make_runner(request_of(CONFIGS / "tiny.yaml", "compile.jit_compile=false")[0])[1].value == "traced"


def test_a_run_too_short_for_what_compiling_takes_stays_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    request, _ = request_of(CONFIGS / "tiny.yaml", steps=10)
    Verdict(0.003, 0.002).keep(digest_of(request))
    monkeypatch.setattr("kerascli.training.execution_mode.reason_not_to_compile", lambda code, device: None)
    assert make_runner(request)[1].value == "traced"


@pytest.mark.parametrize("text", ["", "[1]", '["a", 2]', "{}", "null"])
def test_a_damaged_verdict_is_none(text: str, tmp_path: Path) -> None:
    Verdict(1.0, 2.0).keep("one")
    (path,) = (tmp_path / "cache").rglob("one.json")
    path.write_text(text)
    assert Verdict.of("one") is None


@needs_a_compiler
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns about itself
def test_a_long_run_learns_its_mode_and_keeps_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is timed after a short run; timing draws no random numbers of the run and changes none of its files."""
    config = write(tmp_path, CONVOLUTIONAL)
    short, _ = train(config, tmp_path / "short", [])
    assert not list((tmp_path / "cache").rglob("verdicts"))
    monkeypatch.setattr(execution_mode, "SHARE", 1e6)
    long, events = train(config, tmp_path / "long", [])
    assert outcome(long) == outcome(short)
    (verdict,) = (tmp_path / "cache").rglob("verdicts/*.json")
    assert any("execution mode of later runs" in str(event) for event in events)
    third, events = train(config, tmp_path / "third", [])
    assert third.facts()["execution_mode_reason"].startswith("timed after an earlier run: ")
    assert not any("later runs" in str(event) for event in events), "it is timed once"
    times = Verdict.of(verdict.stem)
    assert times is not None
    assert third.facts()["execution_mode"] == ("traced" if times.traced <= times.compiled else "compiled")


def test_what_cannot_be_compiled_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    request, _ = request_of(CONFIGS / "tiny.yaml")
    monkeypatch.setattr(execution_mode, "reason_not_to_compile", lambda code, device: "there is no C++ compiler")
    assert learn_mode(request, 1e9) is None
