"""A training that is profiled: its events, and at its end, however it comes, what was found and where it is kept."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from torch import nn

from kerascli import draws
from kerascli.data.batches.loader import Batch
from kerascli.errors import StorageError
from kerascli.events import Event, Note
from kerascli.profiling.profiler import Profiler
from kerascli.report.profile import profile_text
from kerascli.runs.record import RunRecord
from kerascli.spans import listening
from kerascli.training.build import Experiment
from kerascli.training.forward_pass import Eager
from kerascli.training.loop import Plan


def profiled(events: Iterator[Event], profiler: Profiler, record: RunRecord) -> Iterator[Event]:
    """The events, and a Profiled at their end: after a signal or a failure, too, which then goes its way."""
    try:
        with listening(profiler):
            yield from events
    except Exception:
        yield from _told(profiler, record, "the training was left early: this is what was seen of it")
        raise
    yield from _told(profiler, record)


def _told(profiler: Profiler, record: RunRecord, *notes: str) -> Iterator[Event]:
    found = profiler.finish()
    if found is None:
        yield Note("no step was trained: there is nothing to profile")
        return
    found = replace(found, notes=(*found.notes, *notes))
    files = {"summary.txt": profile_text(found).encode()}
    trace = profiler.trace()
    if trace is not None:
        files |= [trace]
    try:
        paths = record.write_profile(files)
    except StorageError as error:  # the training itself is safe, and what was found is shown
        yield Note(f"the profile is not kept: {error}", "warning")
        paths = []
    yield replace(found, files=tuple(map(str, paths)))


def know_model(profiler: Profiler, mode: str, experiment: Experiment, plan: Plan) -> None:
    """Tell a profiler of the model whose training it will see."""
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
    """The modules that a step calls one after the other; one that stands in several nodes goes by its first name."""
    update = experiment.module
    found = {"transforms of inputs": update.input_stage, "transforms of targets": update.target_stage}
    if (mixing := experiment.forward_passes[0].module.mixing) is not None:
        found["augment"] = mixing
    for each in experiment.forward_passes:
        graph, name = each.module.graph, each.updates[0].name
        found[f"{name}: loss and metrics" if name else "loss and metrics"] = each.module.objective
        for node, module in zip(graph.model.nodes, graph.nodes, strict=True):
            if module not in found.values():
                found[f"{name}: {node.name}" if name else node.name] = module
    return found
