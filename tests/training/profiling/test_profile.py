"""`train --profile`: times add up, layers have those of their operations, advice fits, and training is unchanged."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.profiler import profile

from kerascli.config.load import open_config
from kerascli.foundation import spans
from kerascli.foundation.errors import Interrupted, StorageError, TrainingStopped
from kerascli.foundation.events import BatchEnd, EpochBegin, EpochEnd, Event, Note
from kerascli.foundation.profile import LayerTime, Phase, Profiled
from kerascli.report.profile import milliseconds, profile_text
from kerascli.runs.record import RunRecord
from kerascli.training import execution_mode
from kerascli.training.profiling import phases as phase_times
from kerascli.training.profiling.advice import NOTHING, RULES, Rule, advice
from kerascli.training.profiling.phases import REST, PhaseClock, phases
from kerascli.training.profiling.profiler import Profiler
from kerascli.training.profiling.window import Window, layer_by_layer
from kerascli.workflow.train import Options, resume, start
from tests.support.processes import forked_kerascli
from tests.support.runs_harness import HARD, outcome, train, write

CPU, ONE, ACT = torch.device("cpu"), torch.ones(1), nn.ReLU()


class Heard:
    def __init__(self) -> None:
        self.said: list[str] = []

    def begin(self, name: str) -> None:
        self.said.append(f"{name} begins")

    def end(self, name: str) -> None:
        self.said.append(f"{name} ends")


# Marks and times


def test_spans_are_heard_in_order_and_after_an_error_and_only_by_a_listener() -> None:
    heard = Heard()
    with spans.span("before"):
        pass
    with spans.listening(heard), spans.span("outer"), pytest.raises(ValueError, match="x"), spans.span("inner"):
        raise ValueError("x")
    with spans.span("after"):
        pass
    assert heard.said == ["outer begins", "inner begins", "inner ends", "outer ends"]


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Values that the clock returns, in this order."""
    times: list[float] = []
    monkeypatch.setattr(phase_times, "perf_counter", lambda: times.pop(0))
    return times


def test_a_phase_has_its_outermost_work_and_waits_for_the_device_before_it_reads_the_time(ticks: list[float]) -> None:
    left = []
    ticks += [0.0, 1.0, 3.0, 4.0, 5.0, 7.0, 7.0, 7.5]
    clock = PhaseClock(lambda: left.append(len(ticks)))
    for name, inner in (("a", None), ("b", "a")):
        clock.begin()
        if inner is not None:
            clock.begin()
            clock.end(inner)
        clock.end(name)
    assert left == [7, 6, 5, 4], "waited before the times of beginnings and ends were read"
    sums: dict[str, float] = {}
    clock.add_to(sums)
    assert sums == {"a": 2.0, "b": 1.0, REST: 2.0}
    clock.skip()
    clock.begin()
    clock.end("a")
    clock.add_to(sums)
    assert sums == {"a": 2.5, "b": 1.0, REST: 2.0}


def test_shares_add_up_and_are_in_the_order_of_reports(ticks: list[float]) -> None:
    ticks += [0.0, 1.0, 3.0, 3.0, 7.0, 7.0, 8.0]
    clock = PhaseClock(lambda: None)
    for name in ("validation", "forward", "exchange"):
        clock.begin()
        clock.end(name)
    sums: dict[str, float] = {}
    clock.add_to(sums)
    assert phases(sums) == (
        Phase("forward", 4.0, 0.5),
        Phase("validation", 2.0, 0.25),
        Phase("exchange", 1.0, 0.125),
        Phase(REST, 1.0, 0.125),
    )


# Which steps are seen by torch's profiler


def events_of(epochs: int, steps: int, until: int = 10**9, first: int = 0) -> Iterator[Event]:
    """Return the events of an empty training, stopped after `until` steps."""
    for epoch in range(1, epochs + 1):
        yield EpochBegin(epoch, epochs, steps)
        for step in range(1 + (first if epoch == 1 else 0), steps + 1):
            with spans.span("forward"):
                ACT(ONE)
            yield BatchEnd(epoch, step, steps)
            until -= 1
            if until == 0:
                return
        yield EpochEnd(epoch, epochs, {}, 0.0)


def followed(events: Iterator[Event], batches_done: int = 0) -> Profiled:
    profiler = Profiler(CPU)
    profiler.set_model("eager", {"act": ACT}, lambda: None)
    with spans.listening(profiler):
        for _ in profiler.follow(events, batches_done):
            pass
    found = profiler.finish()
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("epochs", "steps", "window", "counted"),
    [
        (1, 100, "epoch 1, steps 11 to 30", 80),
        (3, 25, "epoch 2, steps 1 to 20", 55),  # in the first, not enough are left after the warm-up
        (9, 13, "epoch 2, steps 1 to 13", 104),  # an epoch has no more
        (1, 9, "epoch 1, steps 4 to 6", 6),
        (2, 2, "epoch 1, step 2", 3),
        (5, 1, "epoch 2, step 1", 4),
        (1, 3, "epoch 1, step 2", 2),
    ],
)
def test_a_window_of_steps_is_seen_by_torch_and_the_others_are_timed(
    epochs: int, steps: int, window: str, counted: int
) -> None:
    found = followed(events_of(epochs, steps))
    assert (found.layers_in, found.counted, found.steps) == (window, counted, epochs * steps)
    assert [each.name for each in found.layers] == ["act"]


@pytest.mark.parametrize("steps", [1, 2])
def test_below_three_steps_it_says_what_could_not_be_measured(steps: int) -> None:
    found = followed(events_of(1, steps))
    assert (found.steps, found.counted, found.layers, found.layers_in) == (steps, steps, (), "")
    assert found.notes == ("no trace was recorded: that takes 3 steps in all",)


def test_a_training_left_within_the_window_has_what_was_seen_of_it() -> None:
    found = followed(events_of(1, 100, until=14))
    assert (found.layers_in, found.counted, found.steps) == ("epoch 1, steps 11 to 14", 10, 14)


def test_a_resumed_epoch_is_as_long_as_what_is_left_of_it() -> None:
    found = followed(events_of(1, 100, first=91), batches_done=91)
    assert (found.layers_in, found.counted, found.steps) == ("epoch 1, steps 95 to 97", 6, 9)


def test_a_training_without_a_step_has_no_profile() -> None:
    assert Profiler(CPU).finish() is None


def test_training_goes_on_where_torch_has_no_profiler_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: profile) -> None:
        raise RuntimeError("it is busy\nC++ frames")

    monkeypatch.setattr(profile, "start", refuse)
    found = followed(events_of(1, 30))
    assert found.notes == ("no trace was recorded: torch's profiler did not start: it is busy",)
    assert (found.steps, found.layers) == (30, ())


# Layers


def recorded(steps: int) -> tuple[Window, nn.ModuleDict]:
    """Return the recorder of some training steps of a model with two layers and an activation."""
    torch.manual_seed(0)
    model = nn.ModuleDict({"first": nn.Linear(64, 64), "act": nn.ReLU(), "second": nn.Linear(64, 8)})
    x, weights = torch.randn(128, 64), list(model.parameters())
    window = Window(CPU)
    window.layers = dict(model.items())
    window.plan(3 * steps)
    window.start(1, 5)
    for number in range(steps):
        window.begin("forward")
        y = x
        for module in model.values():
            y = module(y)
        loss = y.square().mean()
        window.end()
        window.begin("backward")
        torch.autograd.grad(loss, weights)
        window.end()
        window.step_done(last=number == steps - 1)
    return window, model


@pytest.fixture(scope="module")
def watched() -> tuple[Window, nn.ModuleDict]:
    return recorded(4)


def test_layers_have_the_time_of_their_operations_forward_and_backward() -> None:
    window, _ = recorded(1)
    own = {each.key: each.self_cpu_time_total / 1000 for each in window._profile.key_averages()}
    layers = {layer.name: layer for layer in window.layer_times()}
    assert layers["act"].forward_milliseconds == pytest.approx(own["aten::relu"] + own["aten::clamp_min"])
    function = "ReluBackward0"
    backward = own["aten::threshold_backward"] + own[function]
    backward += own[f"autograd::engine::evaluate_function: {function}"]
    assert layers["act"].backward_milliseconds == pytest.approx(backward)
    # The gradient of x @ w is one product for w and one for x; nobody wants that of the model's input.
    products = layers["first"].backward_milliseconds + layers["second"].backward_milliseconds
    assert own["aten::mm"] + own["AddmmBackward0"] < products < sum(own.values())


def test_the_shares_of_all_layers_add_up(watched: tuple[Window, nn.ModuleDict]) -> None:
    layers = {layer.name: layer for layer in watched[0].layer_times()}
    assert set(layers) == {"first", "act", "second"}
    assert layers["first"].share > layers["act"].share
    assert sum(layer.share for layer in layers.values()) == pytest.approx(1)


def test_hooks_are_gone_when_the_window_has_closed(watched: tuple[Window, nn.ModuleDict]) -> None:
    window, model = watched
    assert not window.open
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_trace_has_what_perfetto_needs(watched: tuple[Window, nn.ModuleDict]) -> None:
    bars = [event for event in json.loads(watched[0].trace())["traceEvents"] if event["ph"] == "X"]
    assert all({"name", "ts", "dur", "pid", "tid"} <= event.keys() for event in bars)
    assert {"step: 5", "step: 8", "forward", "layer: first", "aten::addmm"} <= {event["name"] for event in bars}


def test_a_step_that_is_one_program_is_run_as_modules_for_its_layers(
    watched: tuple[Window, nn.ModuleDict],
) -> None:
    model = watched[1]
    ran: list[torch.Tensor] = []

    def step() -> None:
        ran.append(model["second"](model["first"](torch.ones(8, 64))).sum())
        ran[-1].backward()

    layers, refusal = layer_by_layer(CPU, dict(model.items()), step)
    assert {layer.name for layer in layers} == {"first", "second"}
    assert len(ran) == 6, "those that are seen, after one that is not"
    assert refusal == ""


def test_training_has_not_failed_where_the_modules_find_no_memory() -> None:
    def step() -> None:
        raise RuntimeError("out of memory\nC++ frames")

    profiler = Profiler(CPU)
    profiler.set_model("traced", {}, step)
    for _ in profiler.follow(events_of(1, 9), 0):
        pass
    found = profiler.finish()
    assert found is not None
    assert found.layers == ()
    assert "layers were not measured: out of memory" in found.notes


def test_layers_are_not_measured_where_torch_has_no_profiler_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: profile) -> None:
        raise RuntimeError("it is busy")

    monkeypatch.setattr(profile, "start", refuse)
    assert layer_by_layer(CPU, {}, lambda: None) == ((), "torch's profiler did not start: it is busy")


# Advice


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.phase)
def test_each_rule_speaks_above_its_share_and_not_at_it(rule: Rule) -> None:
    assert advice([Phase(rule.phase, 1.0, rule.share)]) == (NOTHING,)
    share = rule.share + 0.01
    assert advice([Phase(rule.phase, 1.0, share)]) == (f"{rule.text} ({rule.phase}: {share:.0%})",)


def test_a_short_training_gets_no_advice() -> None:
    assert advice([Phase("checkpoints", 0.5, 1.0)]) == ("the training took 0.50 s: advice needs a longer one",)


def test_the_phase_that_takes_most_comes_first() -> None:
    first, second = advice([Phase("data", 3.0, 0.3), Phase("optimizer", 5.0, 0.5), Phase("forward", 2.0, 0.2)])
    assert first.endswith("(optimizer: 50%)")
    assert second.endswith("(data: 30%)")


# Whole trainings


def profiles(events: list[Event]) -> list[Profiled]:
    return [event for event in events if isinstance(event, Profiled)]


def go_on(run: RunRecord, *sets: str) -> list[Event]:
    return list(resume(run, Options(runs_dir=run.path.parent, profile=True), sets))


def files(run: RunRecord) -> set[str]:
    return {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()}


def test_a_profiled_run_is_the_same_run_with_a_profile(tmp_path: Path) -> None:
    config = write(tmp_path, HARD)
    plain, _ = train(config, tmp_path / "plain", ["fit.epochs=4"])
    run, events = train(config, tmp_path / "profiled", ["fit.epochs=4"], profile=True)
    assert outcome(run) == outcome(plain)
    assert files(run) - files(plain) == {"profile/summary.txt", "profile/trace.json"}
    (found,) = profiles(events)
    assert found.steps == 4 * 32
    assert sum(phase.share for phase in found.phases) == pytest.approx(1)
    assert {"data", "optimizer", "metrics", "callbacks", "validation", "records", "checkpoints"} <= {
        p.name for p in found.phases
    }
    nodes = {"dense", "batch_normalization", "dropout", "dense_1"}
    assert nodes <= {layer.name for layer in found.layers}
    assert (run.path / "profile" / "summary.txt").read_text() == profile_text(replace(found, files=()))
    assert [Path(file).name for file in found.files] == ["summary.txt", "trace.json"]


def test_a_program_has_one_phase_for_forward_and_backward_and_the_smaller_last_batch_is_in_it(tmp_path: Path) -> None:
    sets = ["fit.epochs=1", "fit.batch_size=15"]  # 512 rows
    _, events = train(write(tmp_path, HARD), tmp_path / "runs", sets, profile=True)
    (found,) = profiles(events)
    assert found.tier == "traced"
    assert {"tracing"} == set(found.once)
    names = {phase.name for phase in found.phases}
    assert "forward and backward" in names
    assert not {"forward", "backward"} & names
    assert found.counted == 35 - 11
    assert (
        "steps run as one graph (execution mode: traced): forward and backward cannot be timed apart in it"
        in found.notes
    )


def test_modules_have_forward_and_backward_apart_and_their_layers_in_the_steps_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("it cannot be traced")

    monkeypatch.setattr(execution_mode, "trace_program", refuse)
    _, events = train(write(tmp_path, HARD), tmp_path / "runs", ["fit.epochs=2"], profile=True)
    (found,) = profiles(events)
    assert found.tier == "eager"
    assert {"forward", "backward"} <= {phase.name for phase in found.phases}
    assert found.layers_in == "epoch 1, steps 11 to 30"
    assert any(each.backward_milliseconds > 0 for each in found.layers)
    assert not any("program" in note for note in found.notes)


def test_a_resumed_run_is_profiled_anew_and_a_finished_one_has_nothing_to_profile(tmp_path: Path) -> None:
    config = write(tmp_path, HARD)
    whole, _ = train(config, tmp_path / "whole", ["fit.epochs=4"])
    run, _ = train(config, tmp_path / "parts", ["fit.epochs=2"], profile=True)
    before = (run.path / "profile" / "trace.json").read_bytes()
    assert profiles(go_on(run)) == []
    assert (run.path / "profile" / "trace.json").read_bytes() == before
    (found,) = profiles(go_on(run, "fit.epochs=4"))
    assert found.steps == 2 * 32
    assert (run.path / "profile" / "trace.json").read_bytes() != before
    assert outcome(run) == outcome(whole)


def left(events: Iterator[Event], error: type[Exception]) -> list[Event]:
    """Return the events before a failure; a signal is sent after the twentieth step."""
    told: list[Event] = []
    try:
        for event in events:
            told.append(event)
            if isinstance(event, BatchEnd) and event.step == 20:
                signal.raise_signal(signal.SIGINT)
    except error:
        return told
    pytest.fail("it did not fail")


def test_an_interrupted_run_is_profiled_as_far_as_it_came(tmp_path: Path) -> None:
    config = open_config(write(tmp_path, HARD))
    told = left(start(config, Options(runs_dir=tmp_path / "runs", profile=True)), Interrupted)
    (found,) = profiles(told)
    assert found.steps == 20
    assert all(Path(file).is_file() for file in found.files)


def test_a_failed_run_is_profiled_as_far_as_it_came(tmp_path: Path) -> None:
    config = open_config(write(tmp_path, HARD), sets=["compile.optimizer={sgd: {learning_rate: 1e30}}"])
    told = left(start(config, Options(runs_dir=tmp_path / "runs", profile=True)), TrainingStopped)
    assert len(profiles(told)) == 1


def test_a_profile_that_cannot_be_written_is_shown_and_the_run_completes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageError("cannot write 'trace.json': no space left on device")

    monkeypatch.setattr(RunRecord, "write_profile", full)
    run, events = train(write(tmp_path, HARD), tmp_path / "runs", ["fit.epochs=1"], profile=True)
    assert (
        Note("the profile could not be saved: cannot write 'trace.json': no space left on device", "warning") in events
    )
    assert [found.files for found in profiles(events)] == [()]
    assert run.status() == "completed"


# What is shown

SHOWN = Profiled(
    tier="eager",
    steps=30,
    counted=19,
    once={"compiling": 7.5},
    phases=(Phase("data", 0.25, 0.1), Phase("validation", 1234.0, 0.9)),
    layers=(LayerTime("dense", 0.5, 1.0, 1.0),),
    layers_in="epoch 1, step 2",
    advice=("validation takes longer than training",),
    notes=("no trace was recorded",),
)


def test_a_profile_reads_as_a_table_and_sentences() -> None:
    assert profile_text(SHOWN) == (
        "profile: 30 steps, 19 timed; execution mode: eager\n\n"
        "phase         seconds  share\n"
        "data            0.250  10.0%\n"
        "validation  1,234.000  90.0%\n"
        "compiling       7.500      -\n\n"
        "layers (epoch 1, step 2)\n\n"
        "layer   forward  backward   share\n"
        "dense  0.500 ms   1.00 ms  100.0%\n\n"
        "advice\n\n- validation takes longer than training\n\n"
        "notes\n\n- no trace was recorded\n"
    )


@pytest.mark.parametrize(("value", "text"), [(0.0254, "0.025"), (2.624, "2.62"), (82.96, "83.0"), (3847.6, "3,848")])
def test_times_have_three_digits_or_more(value: float, text: str) -> None:
    assert milliseconds(value) == f"{text} ms"


def test_the_command_prints_results_then_the_profile_then_its_files(tmp_path: Path) -> None:
    write(tmp_path, HARD)
    done = forked_kerascli(
        "train", "config.yaml", "--profile", "--set", "fit.epochs=2", "--device", "cpu", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    run, empty, head, *rest = done.stdout.splitlines()
    assert run.startswith("run   runs/")
    assert (empty, head.partition(",")[0]) == ("", "profile: 64 steps")
    folder = f"{run.removeprefix('run   ')}/profile"
    assert rest[-3:] == ["", f"summary  {folder}/summary.txt", f"trace    {folder}/trace.json"]
    assert (tmp_path / folder / "summary.txt").read_text() == "\n".join([head, *rest[:-3], ""])
    assert done.stderr.endswith("the trace can be opened in ui.perfetto.dev or chrome://tracing\n")
    assert "kineto" not in done.stderr.lower()
    assert "Profiler" not in done.stderr


def test_json_has_the_profile_and_stderr_is_silent(tmp_path: Path) -> None:
    write(tmp_path, HARD)
    done = forked_kerascli("train", "config.yaml", "--profile", "--json", "--set", "fit.epochs=1", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)["profile"]
    assert found["steps"] == 32
    assert {phase["name"] for phase in found["phases"]} >= {"data", "optimizer"}


def test_a_terminated_command_prints_the_profile_too(tmp_path: Path) -> None:
    config = HARD.replace("epochs: 20", "epochs: 100000").replace("patience: 6", "patience: 100000")
    write(tmp_path, config.replace("metrics: [accuracy]", "metrics: [accuracy]\n  jit_compile: false"))
    command = [sys.executable, "-m", "kerascli", "train", "config.yaml", "--profile"]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    for line in running.stderr:
        if line.split()[:2] == ["epoch", "3/100000"]:
            running.send_signal(signal.SIGTERM)
            break
    out, err = running.communicate(timeout=600)
    assert running.returncode == 143, err
    assert out.startswith("profile: ")
    assert out.splitlines()[-1].endswith("profile/trace.json")


def test_smoke_takes_no_profile(tmp_path: Path) -> None:
    write(tmp_path, HARD)
    done = forked_kerascli("train", "config.yaml", "--smoke", "--profile", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --profile cannot be used with --smoke: it trains a temporary run\n"
