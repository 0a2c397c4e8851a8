"""Profile a training run: pass its events on, and save the profile in the run's folder at the end."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from torch import nn

from kerascli.data.batches.loader import Batch
from kerascli.foundation import draws
from kerascli.foundation.errors import StorageError
from kerascli.foundation.events import Event, Note
from kerascli.foundation.spans import listening
from kerascli.report.profile import profile_text
from kerascli.runs.record import RunRecord
from kerascli.training.build import Experiment
from kerascli.training.forward_pass import Eager
from kerascli.training.loop import Plan
from kerascli.training.profiling.profiler import Profiler


def profiled(events: Iterator[Event], profiler: Profiler, record: RunRecord) -> Iterator[Event]:
    """Yield a training run's events, then a `Profiled` event, also after an error or signal, which is raised again."""
    try:
        with listening(profiler):
            yield from events
    except Exception:
        yield from _profile_events(
            profiler, record, "the training ended early: the profile covers its steps until then"
        )
        raise
    yield from _profile_events(profiler, record)


def _profile_events(profiler: Profiler, record: RunRecord, *notes: str) -> Iterator[Event]:
    profile = profiler.finish()
    if profile is None:
        yield Note("no step was trained: there is nothing to profile")
        return
    profile = replace(profile, notes=(*profile.notes, *notes))
    files = {"summary.txt": profile_text(profile).encode()}
    trace = profiler.trace()
    if trace is not None:
        files |= [trace]
    try:
        paths = record.write_profile(files)
    except StorageError as error:  # the training is not affected, and the profile is printed
        yield Note(f"the profile could not be saved: {error}", "warning")
        paths = []
    yield replace(profile, files=tuple(map(str, paths)))


def set_profiled_model(profiler: Profiler, mode: str, experiment: Experiment, plan: Plan) -> None:
    """Set how the profiler runs the training steps, and the layers that it can time."""
    assert experiment.spec.training is not None

    @cache
    def batch() -> Batch:
        return next(iter(plan.batches(0, 0)))

    def step() -> None:
        for each in experiment.forward_passes:
            each.module.train()
            Eager(each)(batch(), draws.Draws(experiment.spec.seed, "profile", 0))

    profiler.set_model(mode, experiment.spec.training.compute.jit_compile, _layers(experiment), step)


def _layers(experiment: Experiment) -> dict[str, nn.Module]:
    """Return a mapping from name to module for all that a training step runs: preprocessing, layers, losses."""
    update = experiment.module
    modules = {"transforms of inputs": update.input_stage, "transforms of targets": update.target_stage}
    if (mixing := experiment.forward_passes[0].module.mixing) is not None:
        modules["augment"] = mixing
    for each in experiment.forward_passes:
        graph, name = each.module.graph, each.updates[0].name
        modules[f"{name}: loss and metrics" if name else "loss and metrics"] = each.module.objective
        for node, module in zip(graph.model.nodes, graph.nodes, strict=True):
            if module not in modules.values():
                modules[f"{name}: {node.name}" if name else node.name] = module
    return modules
