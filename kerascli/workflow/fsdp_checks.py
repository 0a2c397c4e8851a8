"""Check that FSDP can divide a model's weights among processes: some settings need whole weights, or another torch."""

from collections.abc import Iterator
from importlib.metadata import version

from kerascli.callbacks.samples import Sampler
from kerascli.callbacks.tensorboard import TensorBoard
from kerascli.config.run import RunSpec
from kerascli.errors import Fault
from kerascli.layers.base import WeightedModule
from kerascli.parts.distributions import FSDP
from kerascli.workflow.optimizer_division_checks import axis_faults, optimizer_faults

FIRST_TORCH = (2, 13)
"""Version of torch from which FSDP2 divides weights on CPUs, and keeps their memory in place, as optimizers need."""
_DDP = "use distribute: ddp"


def fsdp_faults(spec: RunSpec, processes: int) -> Iterator[Fault]:
    """Yield the faults of a run that FSDP would divide among processes; none on one process, which uses no FSDP."""
    if processes == 1 or not isinstance(spec.fit.distribute, FSDP):
        return
    path = ("fit", "distribute")
    if (found := torch_version()) < FIRST_TORCH:
        text = (
            f"distribute: fsdp needs torch {'.'.join(map(str, FIRST_TORCH))} or newer, not {'.'.join(map(str, found))}"
        )
        yield Fault(text, path, hint="pip install --upgrade torch, or use distribute: ddp")
    if spec.fit.shards is not None:
        text = "shards: with fsdp, gradients are added in no fixed order: the bits depend on the number of processes"
        yield Fault(text, ("fit", "shards"), hint=f"remove shards, or {_DDP}")
    if spec.train_step is not None:
        yield Fault(
            "distribute: fsdp does not divide models that several updates train (fit.train_step)", path, hint=_DDP
        )
        return
    yield from optimizer_faults(spec, "fsdp")
    yield from axis_faults(spec, "fsdp", hint=_DDP)
    yield from _callback_faults(spec)
    yield from _weight_faults(spec)


def torch_version() -> tuple[int, ...]:
    """Return the two numbers of the installed torch's version."""
    return tuple(int(part) for part in version("torch").split("+")[0].split(".")[:2])


def _callback_faults(spec: RunSpec) -> Iterator[Fault]:
    for number, callback in enumerate(spec.fit.callbacks):
        draws_weights = isinstance(callback, TensorBoard) and callback.histogram_freq > 0
        if isinstance(callback, Sampler) or draws_weights:
            what = "histogram_freq" if draws_weights else f"the callback '{callback.component_name}'"
            yield Fault(f"{what} needs whole weights on one process, which fsdp divides", ("fit", "callbacks", number))


def _weight_faults(spec: RunSpec) -> Iterator[Fault]:
    for node in spec.model.nodes:
        parts = [each for each in spec.built.modules[node.name].modules() if isinstance(each, WeightedModule)]
        for weight in (weight for each in parts for weight in each.weight_specs.values()):
            for kind in ("regularizer", "constraint"):
                if getattr(weight, kind) is not None and weight.trainable:
                    hint = "use the optimizer's weight_decay" if kind == "regularizer" else _DDP
                    text = f"the {kind} of '{weight.name}' in '{node.name}' needs the whole weight, which fsdp divides"
                    yield Fault(text, node.path, "key", hint=hint)
