"""Train: prepare the data, build, fit, record; and go on where a run was left."""

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import torch
from safetensors.torch import save as save_tensors
from torch import nn

from kerascli.builder.experiment import Experiment, build_experiment
from kerascli.builder.tier import Compiled, choose_tier
from kerascli.builder.values import check_values
from kerascli.data.learning import load_learned, save_learned
from kerascli.data.loader import Batch, BatchSource
from kerascli.data.prepare import PreparedData
from kerascli.device import Choice, choose_device, choose_threads, flush_denormals, make_deterministic
from kerascli.errors import ConfigError, DataError, Fault, FileRefused, Interrupted, KerasCliError, TrainingStopped
from kerascli.events import Began, Evaluated, Event, Note, Stopped, Tick
from kerascli.fit.evaluate import evaluate
from kerascli.fit.loop import Plan, train
from kerascli.fit.progress import Progress as Reached
from kerascli.fit.step import Trainer
from kerascli.optimizers.apply import FlatOptimizer
from kerascli.report.summary import render, summarize
from kerascli.runs.manifest import run_facts
from kerascli.runs.record import RunRecord
from kerascli.spec.dump import dump_yaml
from kerascli.spec.fit import FitSpec
from kerascli.spec.load import Config, Progress, open_config
from kerascli.spec.references import escape_references
from kerascli.workflow.memory import memory_for_model, out_of_memory
from kerascli.workflow.recorder import Recorder, restore
from kerascli.workflow.signals import Stop, deferred


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line decides."""

    runs_dir: Path = Path("runs")
    device: str = "auto"
    name: str | None = None
    command: Sequence[str] = ()
    limits: Mapping[str, int] = field(default_factory=dict)
    """For a smoke run: `epochs`, `steps_per_epoch`, `validation_steps` at most."""


def start(config: Config, options: Options) -> Iterator[Event]:
    """A new run, from its folder to its result. Raises KerasCliError of any kind."""
    flush_denormals()
    facts = config.facts()
    if facts.known:
        config.describe(facts)  # what is wrong is told before anything is downloaded or read
    prepared = config.load_data()
    yield from _data_notes(prepared)
    device = choose_device(options.device)
    experiment = experiment_of(config, prepared, device)
    plan = make_plan(experiment, prepared, options.limits)
    trainer, tier = bind(experiment, plan)
    record = RunRecord.create(options.runs_dir, options.name or config.name)
    with record.locked():
        _write_start(record, config, experiment, prepared, device, options)
        record.note(tier=tier.value, tier_reason=tier.reason)
        yield from _choice_notes(device, tier)
        yield Began(str(record.path), record.summary())
        reached = Reached(epoch=experiment.spec.fit.initial_epoch)
        yield from _run(experiment, prepared, record, trainer, plan, reached, options)


def resume(
    record: RunRecord, options: Options, sets: Sequence[str], *, progress: Progress | None = None
) -> Iterator[Event]:
    """Go on with a run that was killed, interrupted or finished; `sets` may raise `fit.epochs`."""
    refused = [text for text in sets if text.partition("=")[0].strip() != "fit.epochs"]
    if refused:
        raise ConfigError(
            f"--set {refused[0]}: a resumed run keeps its settings; only fit.epochs may change",
            hint="start a new run for other settings",
        )
    flush_denormals()
    if not record.resolved_path.exists():
        hint = "start it again: kerascli train CONFIG"
        raise FileRefused(
            f"the run '{record.path}' died before its first step: there is nothing to go on with", hint=hint
        )
    with record.locked():
        known = record.facts()
        record.plugin_paths()  # refuses copies that were changed
        config = open_config(record.resolved_path, sets=sets, progress=progress)
        prepared = config.load_data(learned=load_learned(record.preprocessing()))
        _refuse_other_data(known.get("data", {}), prepared)
        device = choose_device(options.device, recorded=known.get("device"))
        choose_threads(known.get("threads"))
        experiment = experiment_of(config, prepared, device)
        plan = make_plan(experiment, prepared, options.limits)
        trainer, tier = bind(experiment, plan, known.get("tier"))
        reached, notes = restore(record, trainer, first_epoch=experiment.spec.fit.initial_epoch)
        yield from notes
        record.begin({"device": device.value, "device_reason": device.reason})
        if sets:
            record.write_resolved(dump_yaml(escape_references(config.resolved(record.path))))
        yield from _choice_notes(device, tier)
        yield Began(str(record.path), record.summary(), resumed=True)
        yield from _run(experiment, prepared, record, trainer, plan, reached, options)


@memory_for_model()
def bind(experiment: Experiment, plan: Plan, recorded_tier: str | None = None) -> tuple[Trainer, Choice]:
    """Give the experiment its optimizer and its tier; the choice of the tier comes with its reason."""
    spec = experiment.spec
    assert spec.compile is not None
    trained = [(w.name, w.tensor, w.spec) for w in experiment.weights if w.trainable]
    trainable = [(name, tensor, layout) for name, tensor, layout in trained if isinstance(tensor, nn.Parameter)]
    if not trainable:
        raise ConfigError("the model has no trainable weights: there is nothing to fit")
    optimizer = FlatOptimizer(spec.compile.optimizer, trainable)
    experiment.update.train()
    tier = choose_tier(spec.compile.jit_compile, experiment.device, recorded_tier)
    run = None
    if tier.value == "compiled":
        batch = next(iter(plan.batches(0, 0)))
        try:
            run = Compiled(experiment.update, full_rows=spec.fit.batch_size)
            run.warm(batch, [tensor for _, tensor, _ in trainable])
        except Exception as error:  # whatever torch's compilers raise, the eager tier does the same work
            tier, run = Choice("eager", f"compiling failed: {type(error).__name__}: {_first_line(error)}"), None
    return Trainer(experiment.update, optimizer, experiment.weights, seed=spec.seed, run=run), tier


@memory_for_model()
def experiment_of(config: Config, prepared: PreparedData, device: Choice) -> Experiment:
    spec = config.describe(prepared.facts, {name: split.rows for name, split in prepared.splits.items()})
    if spec.compile is None:
        raise config.error(
            [Fault("the config has no 'compile' section", (), hint="add compile: {loss: ..., optimizer: ...}")]
        )
    check_values(spec, prepared.splits, prepared.input_stage, prepared.target_stage)
    torch_device = torch.device(device.value)
    if spec.fit.deterministic:
        make_deterministic(torch_device)
    with config.faults():
        return build_experiment(
            spec,
            device=torch_device,
            input_stage=prepared.input_stage,
            target_stage=prepared.target_stage,
            targets=prepared.facts.targets,
        )


def _write_start(
    record: RunRecord, config: Config, experiment: Experiment, prepared: PreparedData, device: Choice, options: Options
) -> None:
    """Everything about a run that is known before its first step."""
    spec = experiment.spec
    plugins = [record.write_plugin(path.name, path.read_bytes()) for path in config.plugins]
    record.begin({
        **run_facts(), "command": shlex.join(["kerascli", *options.command]),
        "config": str(config.path), "flags": dict(config.flags), "seed": spec.seed,
        "device": device.value, "device_reason": device.reason, "threads": torch.get_num_threads(),
        "precision": spec.compile.precision if spec.compile else "float32",
        "data": dict(prepared.digests), "plugins": plugins, "directions": dict(spec.log_names()),
    })  # fmt: skip
    record.write_config(config.text)
    record.write_resolved(dump_yaml(escape_references(config.resolved(record.path))))
    record.write_summary(render(summarize(experiment.graph, spec.name)))
    for name, data in save_learned(prepared.learned).items():
        record.write_preprocessing(name, data)


def _run(
    experiment: Experiment,
    prepared: PreparedData,
    record: RunRecord,
    trainer: Trainer,
    plan: Plan,
    reached: Reached,
    options: Options,
) -> Iterator[Event]:
    recorder = Recorder(record, trainer, reached, epochs=plan.epochs)
    try:
        with deferred() as stop:
            yield from _interruptible(recorder.follow(train(trainer, plan, reached)), recorder, stop)
        results = yield from _finish(experiment, prepared, record, options)
        record.finish("completed" if reached.stopped is None else "stopped", reason=reached.stopped, results=results)
    except Interrupted as error:
        record.finish("interrupted", reason=str(error))
        raise
    except (RuntimeError, MemoryError) as error:
        raise _failed(record, out_of_memory(error, hint="a smaller fit.batch_size needs less")) from None
    except TrainingStopped as error:
        record.write_weights(save_tensors(trainer.snapshot()))
        kept = [
            replace(f, text=f"{f.text}; the weights from before it are kept in {record.path}") for f in error.faults
        ]
        raise _failed(record, TrainingStopped(kept)) from None
    except KerasCliError as error:
        raise _failed(record, error) from None


def _failed(record: RunRecord, error: KerasCliError) -> KerasCliError:
    record.finish("failed", reason=str(error))
    return error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _interruptible(events: Iterator[Event], recorder: Recorder, stop: Stop) -> Iterator[Event]:
    """After a signal the step is finished and saved, then the run is left."""
    for event in events:
        yield event
        if stop.number is not None and not isinstance(event, Stopped):
            recorder.save("a signal")
            progress = recorder.progress
            where = f"epoch {progress.epoch + 1}, step {progress.batch}"
            hint = f"go on with: kerascli train --resume {recorder.record.path}"
            raise Interrupted(f"interrupted at {where}; saved", signal_number=stop.number, hint=hint)


def _finish(experiment: Experiment, prepared: PreparedData, record: RunRecord, options: Options) -> Iterator[Event]:
    """The final weights, and what they are worth on the test split."""
    snapshot = {w.name: w.keras().to("cpu", copy=True).contiguous() for w in experiment.weights}
    record.write_weights(save_tensors(snapshot))
    test = prepared.splits.get("test")
    if test is None:
        return {}
    started = time.monotonic()
    batches = islice(
        source_of(experiment, prepared, "test", shuffle=False).epoch(0), options.limits.get("validation_steps")
    )
    figures: dict[str, float] = yield from evaluate(experiment.update, batches, seed=experiment.spec.seed)
    yield Evaluated("test", figures, test.rows, time.monotonic() - started)
    return {"test": figures}


def source_of(experiment: Experiment, prepared: PreparedData, split: str, *, shuffle: bool) -> BatchSource:
    """The batches of a split on the experiment's device."""
    fit = experiment.spec.fit
    size = fit.batch_size if shuffle or split == "train" else fit.validation_batch_size or fit.batch_size
    return BatchSource(
        prepared.splits[split], batch_size=size, device=experiment.device, shuffle=shuffle, seed=experiment.spec.seed
    )


def make_plan(experiment: Experiment, prepared: PreparedData, limits: Mapping[str, int]) -> Plan:
    """The fit section, with what the data decides."""
    spec, fit = experiment.spec, experiment.spec.fit
    source = source_of(experiment, prepared, "train", shuffle=fit.shuffle)
    steps = fit.steps_per_epoch or source.steps
    steps = min(steps, limits.get("steps_per_epoch", steps))
    held_out = None
    if fit.validates():
        held_out = source_of(experiment, prepared, fit.validation_data or "validation", shuffle=False)
    limit = min((n for n in (fit.validation_steps, limits.get("validation_steps")) if n), default=None)
    return Plan(
        epochs=min(fit.epochs, limits.get("epochs", fit.epochs)),
        steps=steps,
        batches=lambda epoch, first: _batches(source, steps, epoch, first),
        validation=None if held_out is None else lambda: islice(held_out.epoch(0), limit),
        validates=lambda epoch: _is_due(fit, epoch),
        callbacks=fit.callbacks,
        directions=spec.log_names(),
    )


def _batches(source: BatchSource, steps: int, epoch: int, first: int) -> Iterator[Batch]:
    """Batches `first` to `steps` of an epoch; one of another length than the rows goes on where the last ended."""
    number, end = epoch * steps + first, (epoch + 1) * steps
    while number < end:
        passes, position = divmod(number, source.steps)
        for batch in islice(source.epoch(passes, position), end - number):
            yield batch
            number += 1


def _is_due(fit: FitSpec, epoch: int) -> bool:
    """Whether `validation_freq` calls for a validation after this epoch (from 1)."""
    frequency = fit.validation_freq
    return epoch in frequency if isinstance(frequency, tuple) else epoch % frequency == 0


def _choice_notes(device: Choice, tier: Choice) -> Iterator[Event]:
    yield Note(f"device: {device.value} ({device.reason})")
    if "auto" not in tier.reason:
        yield Note(f"tier: {tier.value} ({tier.reason})")


def _data_notes(prepared: PreparedData) -> Iterator[Event]:
    for text in prepared.warnings:
        yield Note(text, "warning")
    rows = ", ".join(f"{name} {split.rows:,}" for name, split in prepared.splits.items())
    yield Note(f"data: {rows} rows")


def _refuse_other_data(known: Mapping[str, str], prepared: PreparedData) -> None:
    """A run goes on with the very rows that it began with, wherever their files lie now."""
    for name, digest in prepared.digests.items():
        if digest not in known.values():
            raise DataError(f"the data has changed since the run began: {name}", hint="start a new run")


__all__ = ["Options", "Tick", "make_plan", "resume", "source_of", "start"]
