"""Train a config from data to a recorded run (a folder with weights, history and checkpoints), or resume a run."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from kerascli.compiler.cache import use_own_cache
from kerascli.config.composition.references import escape_references
from kerascli.config.config import Config, Progress
from kerascli.config.describe import check_early
from kerascli.config.load import open_recorded
from kerascli.config.resolved import resolved_config
from kerascli.config.sections.phases import in_each
from kerascli.config.yaml.dump import dump_yaml
from kerascli.data.pipeline.learned_state import load_learned, save_learned
from kerascli.foundation.device import Choice, Threads, choose_device, prepare_cpu, use_threads
from kerascli.foundation.errors import ConfigError, DataError, Fault, FileRefused, counted
from kerascli.foundation.events import Began, Event, Note
from kerascli.foundation.interrupts import deferred
from kerascli.foundation.world import launch_of
from kerascli.model.runtime.summary import summarize
from kerascli.parts.distributions import REMOVED
from kerascli.report.architecture.drawing import diagram_json
from kerascli.report.summary import render
from kerascli.runs.environment import run_facts
from kerascli.runs.history import Prefix
from kerascli.runs.reading import quoted
from kerascli.runs.record import RunRecord
from kerascli.training.build import Experiment
from kerascli.training.execution_mode import learn_mode
from kerascli.training.step import Progress as Reached
from kerascli.training.strategies.members import checked_members
from kerascli.workflow.advice.advise import advise, notes
from kerascli.workflow.advice.case import Case
from kerascli.workflow.fitting.make_trainer import requests_of
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.fitting.phase_facts import data_digests, data_notes, facts_of, history_columns
from kerascli.workflow.fitting.phases import Phase, PhaseRunner, prepare_phases, refuse_undivided
from kerascli.workflow.fitting.recorder import NoRecord
from kerascli.workflow.fitting.saver import restored
from kerascli.workflow.interchange.init_from import InitWeights
from kerascli.workflow.rows.command_rows import moved_hint
from kerascli.workflow.run_loop import run
from kerascli.workflow.tracking.following import sending

_INSTEAD_OF_RESUMING = "start a new run; this one is still there for evaluate, predict, export and plot"


def start(config: Config, options: Options, record: RunRecord | None = None) -> Iterator[Event]:
    """Train a config in a new run folder, and yield the events of the training. Raises KerasCliError.

    `options` are those of the command line (folder of runs, device, threads ...). `record` is an existing folder that
    becomes that of the run; None: a new one.
    """
    prepare_cpu()
    threads = use_threads(options.threads, share=_share(config, options))
    use_own_cache()
    for phase in config.phases:
        if phase.data is not None:
            phase.data.source.begin()  # while torch loads what checks and traces models
    phases = prepare_phases(config, parsed=in_each(config.phases, check_early))
    refuse_undivided(phases, options.group)
    warnings = _warnings(phases)
    yield from notes(warnings)
    yield from data_notes(phases)
    device = choose_device(options.device)
    reached = Reached(epoch=phases[0].spec.fit.initial_epoch)
    begun = InitWeights()
    fill = partial(begun.load, config=phases[0].config, options=options)
    runner = PhaseRunner(phases, device, options, reached, options.mode, fill)
    with deferred() as stop:
        runner.group.notices.signals = stop
        members = _members(runner)  # all have deferred signals by then: one of these saves a run that exists
        if record is None and runner.group.world.leads:
            record = RunRecord.create(options.runs_dir, options.name or config.name)
        [path, *_] = runner.group.agree(record and str(record.path))
        if record is None:
            yield from run(runner, NoRecord(Path(path)), stop)
            return
        with record.locked():
            mode = runner.state.execution_mode
            facts = {
                **_thread_facts(threads), "execution_mode": mode.value, "execution_mode_reason": mode.reason, **members,
                "warnings": [f"{fault.place}: {fault.text}" if fault.place else fault.text for fault in warnings],
                **begun.facts, **options.facts,
            }  # fmt: skip
            _write_start(record, runner, device, facts)
            record.open_history(history_columns(phases), Prefix())
            record.history_writer.cut()
            yield from _start_notes(runner, device, threads, members)
            yield from begun.notes
            yield Began(str(record.path), record.summary())
            began = monotonic()
            yield from sending(run(runner, record, stop), record, [] if options.limits else phases)
            trained_seconds = monotonic() - began
    yield from _learn_modes(runner, trained_seconds)


def _learn_modes(runner: PhaseRunner, trained_seconds: float) -> Iterator[Note]:
    """Time the execution modes of a run that has ended, if the config leaves the choice open; yield what was learned.

    The run is complete: whatever is raised, or Ctrl-C, ends the timing alone.
    """
    state = runner.state
    training = state.experiment.spec.training
    if training is None or training.compute.jit_compile != "auto" or runner.group.world.size > 1:
        return
    with suppress(Exception, KeyboardInterrupt):
        for request in requests_of(state.experiment, state.plan, state.trainer.optimizers):
            if (verdict := learn_mode(request, trained_seconds)) is not None:
                yield Note(f"execution mode of later runs: {verdict.text.removeprefix('timed after an earlier run: ')}")


def resume(
    record: RunRecord, options: Options, sets: Sequence[str], *, progress: Progress | None = None
) -> Iterator[Event]:
    """Resume a run that was killed, interrupted or finished; yield its events. Raises KerasCliError.

    `sets` are arguments of the option `--set`: `fit.epochs=N` changes the number of epochs, unless the config has
    `fit.phases`; any other setting is an error. `options.data` is the new place of the run's data, if it has moved; it
    is recorded. The other `options` are those of the command line (device, threads ...). `progress` is called during
    downloads with (name, bytes so far, total bytes).
    """
    _refuse_other_settings(sets)
    prepare_cpu()
    use_own_cache()
    leads = options.group is None or options.group.world.leads
    with record.locked() if leads else nullcontext():
        recorded = record.facts()
        config = open_recorded(record, sets=sets, progress=progress).with_data(options.data)
        refuse_without_data(record, config)
        phases = _recorded_phases(record, config, options, sets)
        device = choose_device(options.device, recorded=recorded.get("device"))
        threads = use_threads(options.threads, recorded=recorded.get("threads"))
        mode = recorded.get("execution_mode", recorded.get("tier"))
        begun = InitWeights()
        fill = partial(begun.load, config=phases[0].config, options=options)
        runner, notes, history = restored(record, phases, device, options, mode, fill)
        if (source := begun.changed(recorded)) is not None:
            raise FileRefused(f"the weights of {source} have changed since the run began", hint="start a new run")
        with deferred() as stop:
            runner.group.notices.signals = stop
            members = _members(runner)  # all processes have read the run before it is written to
            if not leads:
                yield from run(runner, NoRecord(record.path), stop)
                return
            record.open_history(history_columns(phases), history)
            yield from notes
            facts = {"device": device.value, "device_reason": device.reason, **_thread_facts(threads)}
            record.begin({**facts, **_earlier_processes(recorded, runner.group.world.size), **members})
            record.checkpoints.settle(runner.reached.step)
            record.history_writer.cut()  # to the length at the checkpoint: later epochs are trained again
            if sets or options.data is not None:
                _write_resolved(record, phases)
            yield from _start_notes(runner, device, threads, members)
            yield Began(str(record.path), record.summary(), resumed=True)
            yield from sending(run(runner, record, stop), record, [] if options.limits else phases)


def refuse_without_data(record: RunRecord, config: Config) -> None:
    """Raise ConfigError if the config of a run has no data to train on."""
    if config.data is None:
        hint = "import it with the data to train on: kerascli import MODEL --data CONFIG"
        raise ConfigError(f"the run '{record.path}' was imported without data to train on", hint=hint)


def _recorded_phases(record: RunRecord, config: Config, options: Options, sets: Sequence[str]) -> list[Phase]:
    """Return the training phases of a run to resume, with data. Raises KerasCliError if the run cannot go on with
    them."""
    _refuse_divided_state(record, config)
    with moved_hint():
        phases = prepare_phases(config, load_learned(record.preprocessing()))
    if sets and len(phases) > 1:
        text = "--set fit.epochs: the epochs of a run with phases cannot be changed"
        raise ConfigError(text, hint="start a new run for other settings")
    refuse_undivided(phases, options.group)
    _refuse_other_data(record.facts().get("data", {}), data_digests(phases))
    return phases


def _members(runner: PhaseRunner) -> dict[str, Any]:
    """Return the facts about the processes of a training run for run.json, after all of them have agreed on what is
    trained."""
    launch = {"launch": launch_of()} if launch_of() is not None else {}
    if runner.group.world.size == 1:
        return launch
    folder = runner.options.runs_dir / "run"
    complete = resolved_config(runner.phases[-1].config, [phase.spec for phase in runner.phases], folder)
    return {"processes": checked_members(runner.group, dump_yaml(complete), data_digests(runner.phases)), **launch}


def _earlier_processes(recorded: Mapping[str, Any], size: int) -> dict[str, Any]:
    """Return a key and value for run.json with the numbers of processes that trained a run so far; empty if always one.

    `size` is the number of processes that resume it.
    """
    counts = [*recorded.get("earlier_process_counts", []), len(recorded.get("processes", [])) or 1]
    return {"processes": [], "earlier_process_counts": counts} if max(*counts, size) > 1 else {}


def _share(config: Config, options: Options) -> int:
    """Return the number of processes that share the CPUs of this machine.

    With `fit.shards` it is the number of shards, for any number of processes, since the last bits of results depend on
    the number of threads.
    """
    shards = config.document.at(("fit", "shards"))
    return shards if isinstance(shards, int) else options.group.world.local_size if options.group else 1


def _warnings(phases: list[Phase]) -> list[Fault]:
    """Return the warnings of the advice checks about all training phases."""
    warnings = advise(Case(phase.config, phase.spec, phase.prepared) for phase in phases)
    for phase in phases:
        if phase.config.learned is not None:
            warnings += phase.prepared.splits["train"].oov.warnings()
    return warnings


def _refuse_divided_state(record: RunRecord, config: Config) -> None:
    if config.document.at(("fit", "distribute", "ddp", REMOVED)) is True:
        text = f"the run {quoted(record.path)} divided the optimizer's state by {REMOVED}, which no longer exists"
        raise FileRefused(text, hint=_INSTEAD_OF_RESUMING)


def _write_start(record: RunRecord, runner: PhaseRunner, device: Choice, facts: Mapping[str, Any]) -> None:
    """Write the files of a run that are known before its first training step; run.json comes last and marks the run as
    begun."""
    phases, experiment = runner.phases, runner.state.experiment
    spec, config = experiment.spec, phases[-1].config
    plugins = [record.write_plugin(code) for code in config.plugins]
    record.write_config(config.document.text)
    _write_resolved(record, phases)
    updates = [each.module.graph for each in experiment.forward_passes] if spec.train_step is not None else []
    record.write_summary(render(summarize(experiment.graph, spec.name, updates=updates)))
    record.write_diagram(diagram_json(experiment.graph, spec.name, updates))
    for name, data in save_learned(phases[-1].prepared.learned).items():
        record.write_preprocessing(name, data)
    record.begin({
        **run_facts(), "command": shlex.join(["kerascli", *runner.options.command]),
        "config": str(config.path), "flags": dict(config.flags), "seed": spec.seed,
        "device": device.value, "device_reason": device.reason,
        "precision": spec.training.compute.precision if spec.training else "float32",
        "plugins": plugins, **facts_of(phases), **facts,
    })  # fmt: skip


def _write_resolved(record: RunRecord, phases: list[Phase]) -> None:
    complete = resolved_config(phases[-1].config, [phase.spec for phase in phases], record.path)
    record.write_resolved(dump_yaml(escape_references(complete)))


def _thread_facts(threads: Threads) -> dict[str, Any]:
    return {"threads": threads.count, "threads_reason": threads.reason}


def _start_notes(runner: PhaseRunner, device: Choice, threads: Threads, members: Mapping[str, Any]) -> Iterator[Event]:
    """Yield notes on the choices made at the start: device, threads, execution mode, processes."""
    experiment, mode = runner.state.experiment, runner.state.execution_mode
    yield Note(f"device: {device.value} ({device.reason})")
    yield Note(f"threads: {threads.count} ({threads.reason})", "info" if threads.unexpected else "detail")
    training = experiment.spec.training
    is_required = training is not None and training.compute.jit_compile is True
    text = f"execution mode: {mode.value} ({mode.reason})"
    yield Note(text, "info" if mode.value == "compiled" or is_required else "detail")
    yield from _process_notes(experiment, members.get("processes", []))


def _process_notes(experiment: Experiment, members: Sequence[Mapping[str, Any]]) -> Iterator[Note]:
    """Yield notes on the processes and shards of a training run; with one process, also on `distribute`."""
    fit = experiment.spec.fit
    shards = f", {fit.shards} shards a batch" if fit.shards is not None else ""
    if members:
        hosts = len({member["host"] for member in members})
        where = "this machine" if hosts == 1 else f"{hosts} machines"
        yield Note(f"processes: {len(members)} on {where}, {counted(members[0]['threads'], 'thread')} each{shards}")
        return
    if fit.distribute is not None:
        yield Note("distribute: not used, there is one process; --processes N or torchrun starts several")
    if shards:
        yield Note(f"processes: 1{shards}")


def _refuse_other_settings(sets: Sequence[str]) -> None:
    """Raise ConfigError if `sets` (the option --set) change settings other than `fit.epochs` of a run to resume."""
    refused = [text for text in sets if text.partition("=")[0].strip() != "fit.epochs"]
    if refused:
        text = f"--set {refused[0]}: a resumed run keeps its settings; only fit.epochs may change"
        raise ConfigError(text, hint="start a new run for other settings")


def _refuse_other_data(recorded: Mapping[str, str], digests: Mapping[str, str]) -> None:
    """Raise DataError if the data of a run to resume differs from the data at its start, wherever the files are now."""
    if list(recorded.values()) != list(digests.values()):
        changed = [name for name, digest in digests.items() if digest not in recorded.values()]
        what = f": {changed[0]}" if changed else ""
        raise DataError(f"the data has changed since the run began{what}", hint="start a new run")
