"""Train: prepare the data, build, fit, record; and go on where a run was left."""

import shlex
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import torch

from kerascli.builder.cache import use_own_cache
from kerascli.builder.experiment import Experiment, build_experiment
from kerascli.builder.values import check_values
from kerascli.data.learning import load_learned, save_learned
from kerascli.data.loader import Batch
from kerascli.data.prepare import PreparedData
from kerascli.data.rows import DiskSplit
from kerascli.device import Choice, choose_device, make_deterministic, prepare_cpu, use_threads
from kerascli.errors import (
    ConfigError,
    DataError,
    Fault,
    FileRefused,
    Interrupted,
    KerasCliError,
    TrainingStopped,
)
from kerascli.events import Began, Evaluated, Event, Note, Stopped
from kerascli.fit.evaluate import evaluate
from kerascli.fit.loop import Plan, train
from kerascli.fit.progress import Progress as Reached
from kerascli.fit.step import Trainer
from kerascli.profiling.profiler import Profiler
from kerascli.report.summary import render, summarize
from kerascli.runs.manifest import run_facts
from kerascli.runs.record import RunRecord
from kerascli.spec.dump import dump_yaml
from kerascli.spec.load import Config, Progress, open_config
from kerascli.spec.references import escape_references
from kerascli.workflow.binding import bind_heard
from kerascli.workflow.memory import out_of_memory
from kerascli.workflow.plan import judged, make_plan
from kerascli.workflow.profiled import profiled
from kerascli.workflow.recorder import Recorder, restore
from kerascli.workflow.samples import sample_writer
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
    profile: bool = False


def start(config: Config, options: Options) -> Iterator[Event]:
    """A new run, from its folder to its result. Raises KerasCliError of any kind."""
    prepare_cpu()
    use_own_cache()
    if config.data is not None:
        config.data.source.begin()  # while torch loads what checks and traces models
    config.check_early()
    prepared = config.load_data()
    yield from _data_notes(prepared)
    device = choose_device(options.device)
    experiment = experiment_of(config, prepared, device)
    plan = make_plan(experiment, prepared, options.limits)
    trainer, tier, profiler = bind_heard(experiment, plan, profile=options.profile)
    record = RunRecord.create(options.runs_dir, options.name or config.name)
    with record.locked():
        _write_start(record, config, experiment, prepared, device, options)
        record.note(tier=tier.value, tier_reason=tier.reason)
        yield from _choice_notes(device, tier, experiment)
        yield Began(str(record.path), record.summary())
        reached = Reached(epoch=experiment.spec.fit.initial_epoch)
        yield from _run(experiment, prepared, record, trainer, plan, reached, options, profiler)


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
    prepare_cpu()
    use_own_cache()
    if not record.resolved_path.exists():
        hint = "start it again: kerascli train CONFIG"
        raise FileRefused(
            f"the run '{record.path}' died before its first step: there is nothing to go on with", hint=hint
        )
    with record.locked():
        known = record.facts()
        config = open_config(record.resolved_path, sets=sets, progress=progress, recorded_plugins=record.plugin_paths())
        if config.data is None:
            hint = "import it with the data to train on: kerascli import MODEL --data CONFIG"
            raise ConfigError(f"the run '{record.path}' was imported without data to go on with", hint=hint)
        prepared = config.load_data(learned=load_learned(record.preprocessing()))
        _refuse_other_data(known.get("data", {}), prepared)
        device = choose_device(options.device, recorded=known.get("device"))
        use_threads(known.get("threads"))
        experiment = experiment_of(config, prepared, device)
        plan = make_plan(experiment, prepared, options.limits)
        trainer, tier, profiler = bind_heard(experiment, plan, profile=options.profile, recorded_tier=known.get("tier"))
        reached, notes = restore(record, trainer, first_epoch=experiment.spec.fit.initial_epoch)
        if plan.epochs < reached.epoch + (reached.batch > 0):
            where = f"epoch {reached.epoch + 1}, step {reached.batch}" if reached.batch else f"epoch {reached.epoch}"
            raise ConfigError(
                f"fit.epochs is {plan.epochs}, but the run has reached {where}: it cannot be made shorter"
            )
        yield from notes
        record.begin({"device": device.value, "device_reason": device.reason})
        record.write_history(reached.rows)  # what the checkpoint knows; an epoch after it is trained again
        if sets:
            record.write_resolved(dump_yaml(escape_references(config.resolved(record.path))))
        yield from _choice_notes(device, tier, experiment)
        yield Began(str(record.path), record.summary(), resumed=True)
        yield from _run(experiment, prepared, record, trainer, plan, reached, options, profiler)


def experiment_of(config: Config, prepared: PreparedData, device: Choice) -> Experiment:
    spec = config.describe(prepared.facts, {name: split.rows for name, split in prepared.splits.items()})
    if spec.training is None:
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
        "precision": spec.training.precision if spec.training else "float32",
        "data": dict(prepared.digests), "plugins": plugins, "directions": dict(spec.log_names()),
    })  # fmt: skip
    record.write_config(config.text)
    record.write_resolved(dump_yaml(escape_references(config.resolved(record.path))))
    beside = [each.update.graph for each in experiment.rounds] if spec.steps is not None else []
    record.write_summary(render(summarize(experiment.graph, spec.name, beside=beside)))
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
    profiler: Profiler | None,
) -> Iterator[Event]:
    recorder = Recorder(record, trainer, reached, plan, sample_writer(record, experiment, prepared))
    try:
        with deferred() as stop:
            events = recorder.follow(train(trainer, plan, reached))
            if profiler is None:
                yield from _saved_on_signal(events, recorder, stop)
            else:
                events = profiler.follow(events, batches_done=reached.batch)
                yield from profiled(_saved_on_signal(events, recorder, stop), profiler, record)
            record.write_weights(trainer.weights_file())
            results = yield from _judge(experiment, prepared, record, options, stop)
        record.finish("completed" if reached.stopped is None else "stopped", reason=reached.stopped, results=results)
    except Interrupted as error:
        record.finish("interrupted", reason=str(error))
        raise
    except TrainingStopped as error:
        record.write_weights(trainer.weights_file())
        kept = [
            replace(f, text=f"{f.text}; the weights from before it are kept in {record.path}") for f in error.faults
        ]
        raise _failed(record, TrainingStopped(kept)) from None
    except KerasCliError as error:
        raise _failed(record, error) from None
    except Exception as error:
        record.finish("failed", reason=f"{type(error).__name__}: {error}")
        if isinstance(error, (RuntimeError, MemoryError)):
            raise _failed(record, out_of_memory(error, hint="a smaller fit.batch_size needs less")) from None
        raise


def _failed(record: RunRecord, error: KerasCliError) -> KerasCliError:
    record.finish("failed", reason=str(error))
    return error


def _saved_on_signal(events: Iterator[Event], recorder: Recorder, stop: Stop) -> Iterator[Event]:
    """After a signal the step is finished and saved, then the run is left."""
    for event in events:
        yield event
        if stop.number is not None and not isinstance(event, Stopped):  # at the last event there is nothing to save
            recorder.save("a signal")
            progress = recorder.progress
            where = f"epoch {progress.epoch + 1}, step {progress.batch}"
            raise _interrupted(f"interrupted at {where}; saved", recorder.record, stop.number)


def _interrupted(text: str, record: RunRecord, number: int) -> Interrupted:
    command = shlex.join(["kerascli", "train", "--resume", str(record.path)])
    return Interrupted(text, signal_number=number, hint=f"go on with: {command}")


def _judge(
    experiment: Experiment, prepared: PreparedData, record: RunRecord, options: Options, stop: Stop
) -> Generator[Event, None, dict[str, dict[str, float]]]:
    """What the final weights are worth on the test split, if there is one."""
    test = prepared.splits.get("test")
    if test is None:
        return {}
    started = time.monotonic()
    batches = islice(judged(experiment, test).epoch(0), options.limits.get("validation_steps"))
    work = evaluate(experiment.update, _while_wanted(batches, record, stop), seed=experiment.spec.seed)
    figures = yield from work
    yield Evaluated("test", figures, test.rows, time.monotonic() - started)
    return {"test": figures}


def _while_wanted(batches: Iterator[Batch], record: RunRecord, stop: Stop) -> Iterator[Batch]:
    for batch in batches:
        if stop.number is not None:
            raise _interrupted("interrupted: trained and saved, but not judged on the test split", record, stop.number)
        yield batch


def _choice_notes(device: Choice, tier: Choice, experiment: Experiment) -> Iterator[Event]:
    yield Note(f"device: {device.value} ({device.reason})")
    training = experiment.spec.training
    asked = training is not None and training.jit_compile is True
    if tier.value == "compiled" or asked:
        yield Note(f"tier: {tier.value} ({tier.reason})")


def _data_notes(prepared: PreparedData) -> Iterator[Event]:
    for text in prepared.warnings:
        yield Note(text, "warning")
    rows = ", ".join(f"{name} {split.rows:,}" for name, split in prepared.splits.items())
    on_disk = any(isinstance(split, DiskSplit) for split in prepared.splits.values())
    yield Note(f"data: {rows} rows{', read from disk as they are used' if on_disk else ''}")


def _refuse_other_data(known: Mapping[str, str], prepared: PreparedData) -> None:
    """A run goes on with the very rows that it began with, wherever their files lie now."""
    if list(known.values()) != list(prepared.digests.values()):
        changed = [name for name, digest in prepared.digests.items() if digest not in known.values()]
        what = f": {changed[0]}" if changed else ""
        raise DataError(f"the data has changed since the run began{what}", hint="start a new run")
