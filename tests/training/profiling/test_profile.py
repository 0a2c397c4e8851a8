"""`train --profile`: times add up, operations have torch's names, advice fits, and training is unchanged."""

import gzip
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.profiler import profile

from kerascli.config.load import open_config
from kerascli.foundation import spans
from kerascli.foundation.errors import Interrupted, StorageError, TrainingStopped
from kerascli.foundation.events import BatchEnd, EpochBegin, EpochEnd, Event, Note
from kerascli.foundation.profile import LayerTime, Operation, Phase, Profiled
from kerascli.report.profile import milliseconds, profile_text
from kerascli.runs.record import RunRecord
from kerascli.training import execution_mode
from kerascli.training.profiling import advice
from kerascli.training.profiling import phases as phase_times
from kerascli.training.profiling.advice import OPERATION_MICROSECONDS, RULES
from kerascli.training.profiling.operations import RecordedWork
from kerascli.training.profiling.phases import REST, Clock, LapSums, phases
from kerascli.training.profiling.profiler import Profiler
from kerascli.training.profiling.window import LARGE_BYTES, Window, layer_by_layer, trace_file
from kerascli.workflow.train import Options, resume, start
from tests.support.processes import forked_kerascli
from tests.support.runs_harness import HARD, outcome, train, write

CPU, ONE = torch.device("cpu"), torch.ones(1)


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


def test_a_lap_has_its_outermost_work_and_waits_for_the_device_before_it_reads_the_time(ticks: list[float]) -> None:
    left = []
    ticks += [0.0, 1.0, 3.0, 4.0, 5.0, 7.0, 7.5]
    measured = Clock(lambda: left.append(len(ticks)))
    for name, inner in (("a", None), ("b", "a")):
        measured.begin()
        if inner is not None:
            measured.begin()
            measured.end(inner)
        measured.end(name)
    assert left == [5, 3], "waited before the ends at 3.0 and 5.0 were read"
    assert measured.lap() == {"a": 2.0, "b": 1.0, REST: 4.0}
    assert measured.lap() == {REST: 0.5}


def test_shares_are_those_of_all_steps_and_add_up() -> None:
    steps, epochs = LapSums(), LapSums()
    for seconds in (1.0, 1.0, 4.0):
        steps.add({"forward": seconds, REST: 1.0})
    epochs.add({"validation": 8.0, "forward": 1.0, REST: 1.0})
    epochs.add({REST: 1.0})
    found = {phase.name: phase for phase in phases(steps, epochs, 30)}
    # A mean step is 2 s forward and 1 s of rest, 30 of them are 90 s; two ends of epochs are 8 + 1 + 2 s.
    shares = {"forward": 61 / 101, "validation": 8 / 101, REST: 32 / 101}
    assert {name: phase.share for name, phase in found.items()} == pytest.approx(shares)
    assert found["forward"] == Phase("forward", 1000.0, "step", 3, 3, found["forward"].share)
    assert found["validation"] == Phase("validation", 8000.0, "epoch", 1, 2, found["validation"].share)
    assert list(found) == ["forward", "validation", REST]


# Which steps are seen by torch's profiler


def events_of(epochs: int, steps: int, until: int = 10**9, first: int = 0) -> Iterator[Event]:
    """Return the events of an empty training, stopped after `until` steps."""
    for epoch in range(1, epochs + 1):
        yield EpochBegin(epoch, epochs, steps)
        for step in range(1 + (first if epoch == 1 else 0), steps + 1):
            with spans.span("forward"):
                ONE.neg()
            yield BatchEnd(epoch, step, steps)
            until -= 1
            if until == 0:
                return
        yield EpochEnd(epoch, epochs, {}, 0.0)


def followed(events: Iterator[Event], batches_done: int = 0) -> Profiled:
    profiler = Profiler(CPU)
    with spans.listening(profiler):
        for _ in profiler.follow(events, batches_done):
            pass
    found = profiler.finish()
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("epochs", "steps", "window", "counted"),
    [
        (1, 100, "epoch 1, steps 11 to 30", 79),
        (3, 25, "epoch 2, steps 1 to 20", 54),  # in the first, not enough are left after the warm-up
        (9, 13, "epoch 2, steps 1 to 13", 103),  # an epoch has no more
        (1, 9, "epoch 1, steps 4 to 6", 5),
        (2, 2, "epoch 1, step 2", 2),
        (5, 1, "epoch 2, step 1", 3),
        (1, 3, "epoch 1, step 2", 1),
    ],
)
def test_a_window_of_steps_is_seen_by_torch_and_the_others_but_the_first_are_timed(
    epochs: int, steps: int, window: str, counted: int
) -> None:
    found = followed(events_of(epochs, steps))
    assert (found.operations_in, found.counted, found.steps) == (window, counted, epochs * steps)
    assert [(each.name, each.place, each.calls) for each in found.operations] == [("neg", "forward", 1)]
    assert list(found.once) == ["first step"]


@pytest.mark.parametrize(("steps", "counted"), [(1, 1), (2, 1)])
def test_below_three_steps_it_says_what_could_not_be_measured(steps: int, counted: int) -> None:
    found = followed(events_of(1, steps))
    assert (found.steps, found.counted, found.operations, found.operations_in) == (steps, counted, (), "")
    assert "operations were not measured: that takes 3 steps in all" in found.notes
    assert any("first step" in note for note in found.notes) == (steps == 1)


def test_a_training_left_within_the_window_has_what_was_seen_of_it() -> None:
    found = followed(events_of(1, 100, until=14))
    assert (found.operations_in, found.counted, found.steps) == ("epoch 1, steps 11 to 14", 9, 14)
    assert all(operation.calls == 1 for operation in found.operations)


def test_a_resumed_epoch_is_as_long_as_what_is_left_of_it() -> None:
    found = followed(events_of(1, 100, first=91), batches_done=91)
    assert (found.operations_in, found.counted, found.steps) == ("epoch 1, steps 95 to 97", 5, 9)


def test_a_training_without_a_step_has_no_profile() -> None:
    assert Profiler(CPU).finish() is None


def test_training_goes_on_where_torch_has_no_profiler_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: profile) -> None:
        raise RuntimeError("it is busy\nC++ frames")

    monkeypatch.setattr(profile, "start", refuse)
    found = followed(events_of(1, 30))
    assert found.notes == ("operations were not measured: torch's profiler did not start: it is busy",)
    assert (found.steps, found.operations) == (30, ())


# Operations


@pytest.fixture(scope="module")
def watched() -> tuple[Window, nn.ModuleDict]:
    """Four profiled steps of a model with two layers."""
    torch.manual_seed(0)
    model = nn.ModuleDict({"first": nn.Linear(64, 64), "act": nn.ReLU(), "second": nn.Linear(64, 8)})
    x, weights = torch.randn(128, 64), list(model.parameters())
    watching = Window(CPU)
    watching.layers = dict(model.items())
    watching.plan(12)
    watching.start(1, 5)
    for number in range(4):
        watching.begin("forward")
        y = x
        for module in model.values():
            y = module(y)
        loss = y.square().mean()
        watching.end()
        watching.begin("backward")
        torch.autograd.grad(loss, weights)
        watching.end()
        watching.step_done(last=number == 3)
    return watching, model


def test_own_times_add_up_to_those_of_torchs_own_table(watched: tuple[Window, nn.ModuleDict]) -> None:
    window, _ = watched
    wanted = {e.key: e.self_cpu_time_total / 1000 for e in window._profile.key_averages()}
    found: dict[str, float] = {}
    for (name, _), times in window.work().by_operation.items():
        found[name] = found.get(name, 0.0) + sum(times)
    for name in ("addmm", "mm", "relu", "threshold_backward", "sum", "t"):
        assert found[name] == pytest.approx(wanted[f"aten::{name}"]), name
    engine = "autograd::engine::evaluate_function: AddmmBackward0"
    assert found["AddmmBackward0"] == pytest.approx(wanted["AddmmBackward0"] + wanted[engine])


def test_operations_belong_to_layers_forward_and_backward(watched: tuple[Window, nn.ModuleDict]) -> None:
    found = {(o.name, o.place): o.calls for o in watched[0].work().most_expensive(1000)}
    assert found["addmm", "first"] == found["addmm", "second"] == 1
    # The gradient of x @ w is one product for w and one for x; nobody wants that of the model's input.
    assert found["mm", "first, backward"] == 1
    assert found["mm", "second, backward"] == 2
    assert found["threshold_backward", "act, backward"] == 1
    assert found["AddmmBackward0", "first, backward"] == 1
    assert found["mean", "forward"] == 1, "the loss is in no layer"
    assert {place for name, place in found if name == "pow"} == {"forward", "backward"}


def test_layers_have_the_time_of_their_operations(watched: tuple[Window, nn.ModuleDict]) -> None:
    work = watched[0].work()
    layers = {layer.name: layer for layer in work.layers()}
    assert set(layers) == {"first", "act", "second"}
    assert layers["first"].share > layers["act"].share
    assert sum(layer.share for layer in layers.values()) == pytest.approx(1)
    whole = sum(o.milliseconds for o in work.most_expensive(1000) if o.place == "first, backward")
    assert layers["first"].backward_milliseconds == pytest.approx(
        whole, rel=0.2
    )  # the median of sums, the sum of medians


def test_an_operation_starts_once_however_many_others_it_is_made_of(watched: tuple[Window, nn.ModuleDict]) -> None:
    window, model = Window(CPU), watched[1]
    window.start(1, 1)
    with torch.no_grad():
        for number in range(3):
            with torch.profiler.record_function("forward"):
                model["second"](model["first"](torch.ones(8, 64)).relu()).square().mean()
            window.step_done(last=number == 2)
    assert window.work().started == 6, "ones, linear, relu, linear, square, mean: each is made of others"
    assert {"addmm", "fill_", "pow"} <= {name for name, _ in window.work().by_operation}
    assert watched[0].work().started > 2 * 5, "and what the gradient functions start"


def test_hooks_are_gone_when_the_window_has_closed(watched: tuple[Window, nn.ModuleDict]) -> None:
    window, model = watched
    assert not window.open
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_trace_has_what_perfetto_needs(watched: tuple[Window, nn.ModuleDict]) -> None:
    name, data = watched[0].trace()
    assert name == "trace.json"
    bars = [event for event in json.loads(data)["traceEvents"] if event["ph"] == "X"]
    assert all({"name", "ts", "dur", "pid", "tid"} <= event.keys() for event in bars)
    assert {"step: 5", "step: 8", "forward", "layer: first", "aten::addmm"} <= {event["name"] for event in bars}


def test_a_large_trace_is_compressed() -> None:
    assert trace_file(bytes(LARGE_BYTES)) == ("trace.json", bytes(LARGE_BYTES))
    name, data = trace_file(bytes(LARGE_BYTES + 1))
    assert (name, gzip.decompress(data)) == ("trace.json.gz", bytes(LARGE_BYTES + 1))


def test_a_step_that_is_one_program_is_run_as_modules_for_its_layers(
    watched: tuple[Window, nn.ModuleDict],
) -> None:
    model = watched[1]
    ran: list[torch.Tensor] = []

    def step() -> None:
        ran.append(model["second"](model["first"](torch.ones(8, 64))).sum())
        ran[-1].backward()

    work, refusal = layer_by_layer(CPU, dict(model.items()), step)
    assert {layer.name for layer in work.layers()} == {"first", "second"}
    calls = {(o.name, o.place): o.calls for o in work.most_expensive(1000)}
    assert (len(work.step_milliseconds), len(ran), calls["addmm", "first"]) == (5, 6, 1), (
        "those that are seen, after one that is not"
    )
    assert refusal == ""


def test_training_has_not_failed_where_the_modules_find_no_memory() -> None:
    def step() -> None:
        raise RuntimeError("out of memory\nC++ frames")

    profiler = Profiler(CPU)
    profiler.set_model("traced", "auto", {}, step)
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
    assert layer_by_layer(CPU, {}, lambda: None) == (RecordedWork(), "torch's profiler did not start: it is busy")


def test_what_took_no_time_of_the_device_is_no_expensive_operation() -> None:
    work = RecordedWork([3.0], {("launch", "forward"): [0.0], ("mm", "forward"): [2.0]})
    assert [each.name for each in work.most_expensive()] == ["mm"]


# Advice


def advised(
    seconds: float = 30.0, operations: float = 100, jit_compile: bool | str = "auto", **changes: Any
) -> tuple[str, ...]:
    """Return the advice for a training that gives no reason for any, but for `changes` of its profile."""
    plain = replace(SHOWN, tier="traced", step_milliseconds=10.0, once={}, phases=(), layers=())
    profile = replace(plain, **changes)
    return advice.advice(profile, seconds=seconds, operations=operations, jit_compile=jit_compile)


NOTHING = ("nothing stands out: the time goes into the model's own work",)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.phase)
def test_each_rule_speaks_above_its_share_and_not_at_it(rule: advice.Rule) -> None:
    def said(share: float, times: int = 100) -> tuple[str, ...]:
        return advised(phases=(Phase(rule.phase, 1.0, "step", times, 100, share),))

    assert said(rule.share) == NOTHING
    (text,) = said(rule.share + 0.01)
    assert text == f"{rule.text} ({rule.phase}: {rule.share + 0.01:.0%})"
    assert (said(1.0, times=2) != NOTHING) == (rule.least_times <= 2)


def test_the_phase_that_takes_most_comes_first() -> None:
    found = (
        Phase("data", 1.0, "step", 9, 9, 0.3),
        Phase("optimizer", 1.0, "step", 9, 9, 0.5),
        Phase("forward", 1.0, "step", 9, 9, 0.2),
    )
    first, second = advised(phases=found)
    assert first.endswith("(optimizer: 50%)")
    assert second.endswith("(data: 30%)")


def test_short_operations_are_reported_with_what_helps_in_the_execution_mode() -> None:
    at = 100 * OPERATION_MICROSECONDS * 1e-3
    assert advised(step_milliseconds=at) == NOTHING
    assert advised(step_milliseconds=at * 0.99, operations=0) == NOTHING
    (text,) = advised(step_milliseconds=at * 0.99, jit_compile=False)
    assert text.endswith("a larger batch_size, or jit_compile: auto (100 a step, 9.9 µs each)")
    # Where auto has chosen, or a program cannot be had, the setting changes nothing.
    for tier, jit_compile in (("traced", "auto"), ("compiled", "auto"), ("eager", False)):
        (text,) = advised(step_milliseconds=at * 0.99, tier=tier, jit_compile=jit_compile)
        assert text.endswith("a larger batch_size (100 a step, 9.9 µs each)")


def test_compiling_that_took_most_of_the_time_is_reported() -> None:
    assert advised(tier="compiled", once={"compiling": 30.0}) == NOTHING
    later = "; the same model compiles faster the next time"
    (text,) = advised(tier="compiled", once={"compiling": 31.0})
    assert text == f"compiling took 31.0 s of 61.0 s: jit_compile: false{later}"
    (text,) = advised(tier="compiled", once={"compiling": 31.0}, jit_compile=True)
    assert text == f"compiling took 31.0 s of 61.0 s: jit_compile: auto compiles longer trainings only{later}"


def test_compiling_in_vain_is_told_however_short_it_was() -> None:
    (text,) = advised(once={"compiling": 0.3})
    assert text == "compiling took 0.3 s for nothing: jit_compile: false"


def test_where_nothing_stands_out_the_layers_that_take_most_are_named() -> None:
    layers = (LayerTime("conv", 1.0, 2.0, 0.6), LayerTime("dense", 1.0, 0.0, 0.3), LayerTime("flatten", 0.1, 0.0, 0.1))
    (text,) = advised(layers=layers)
    assert text.startswith(NOTHING[0])
    assert "conv (60%) and dense (30%);" in text


def test_a_training_of_a_moment_gets_no_praise() -> None:
    (text,) = advised(seconds=0.04)
    assert text == "all steps together took 0.04 s: advice needs a longer training"


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
    assert {"tracing", "first step"} == set(found.once)
    names = {phase.name: phase for phase in found.phases}
    assert not {"forward", "backward"} & set(names)
    assert names["forward and backward"].times == found.counted == 35 - 1 - 11
    assert {each.place for each in found.operations} <= {"forward and backward", "optimizer", "data", "metrics"}
    assert (
        "steps run as one graph (execution mode: traced): forward and backward cannot be timed apart in it"
        in found.notes
    )


def test_modules_have_forward_and_backward_apart_and_operations_by_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("it cannot be traced")

    monkeypatch.setattr(execution_mode, "trace_program", refuse)
    _, events = train(write(tmp_path, HARD), tmp_path / "runs", ["fit.epochs=2"], profile=True)
    (found,) = profiles(events)
    assert found.tier == "eager"
    assert {"forward", "backward"} <= {phase.name for phase in found.phases}
    assert found.layers_in == found.operations_in == "epoch 1, steps 11 to 30"
    assert any(each.place.endswith(", backward") for each in found.operations)
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
    assert (found.steps, found.operations_in) == (20, "epoch 1, steps 11 to 20")
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
    step_milliseconds=2.5,
    once={"compiling": 7.5},
    phases=(Phase("data", 0.25, "step", 19, 19, 0.1), Phase("validation", 1234.0, "epoch", 1, 2, 0.9)),
    layers=(LayerTime("dense", 0.5, 1.0, 1.0),),
    layers_in="epoch 1, step 2",
    operations=(Operation("addmm", "dense, backward", 2.0, 0.25, 1.0),),
    operations_in="epoch 1, step 2",
    advice=("validation takes longer than training",),
    notes=("operations were not measured",),
)


def test_a_profile_reads_as_a_table_and_sentences() -> None:
    assert profile_text(SHOWN) == (
        "profile: 30 steps, 2.50 ms each (median of 19); execution mode: eager\n\n"
        "phase         median                    share\n"
        "data        0.250 ms  a step            10.0%\n"
        "validation  1,234 ms  in 1 of 2 epochs  90.0%\n"
        "compiling   7,500 ms  once                  -\n\n"
        "layers (epoch 1, step 2)\n\n"
        "layer   forward  backward   share\n"
        "dense  0.500 ms   1.00 ms  100.0%\n\n"
        "operations (epoch 1, step 2)\n\n"
        "operation  where            calls    a step   share\n"
        "addmm      dense, backward    2.0  0.250 ms  100.0%\n\n"
        "advice\n\n- validation takes longer than training\n\n"
        "notes\n\n- operations were not measured\n"
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
