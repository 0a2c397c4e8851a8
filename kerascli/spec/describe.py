"""Sections become a RunSpec: each is read, then all are held against each other."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from kerascli.component import Invalid
from kerascli.data.base import Field
from kerascli.data.spec import DataSpec
from kerascli.errors import Fault
from kerascli.graph.build import build
from kerascli.graph.parse import model_faults, parse_model
from kerascli.shapes import TensorSpec
from kerascli.spec.compile import parse_compile
from kerascli.spec.cross import cross_faults
from kerascli.spec.fit import FitSpec, parse_fit
from kerascli.spec.references import References
from kerascli.spec.run import RunSpec


def describe(
    sections: Mapping[Any, Any],
    *,
    name: str,
    seed: int,
    data: DataSpec | None,
    inputs: Mapping[str, Field],
    targets: Mapping[str, Field] | None,
    splits: Mapping[str, int] | None = None,
    references: References | None = None,
) -> RunSpec:
    """Sections with every reference resolved -> RunSpec. Raises Invalid with all faults that can be found.

    `inputs` and `targets` are what is known of the data; `splits` are the names of its splits, if known.
    `references` reads the `$` of blocks and repeats, which are resolved where they are used.
    """
    faults: list[Fault] = []
    read = partial(parse_model, sections.get("model"), _specs(inputs))
    model = _try(faults, read if references is None else partial(read, references=references))
    fit = _try(faults, lambda: parse_fit(sections.get("fit")))
    batch_size = (fit or FitSpec()).batch_size
    built = None if model is None else _try(faults, lambda: build(model, batch_size))
    compiled = None
    if "compile" in sections:
        outputs = None if model is None else {name: built.specs[name] if built else None for name in model.outputs}
        wanted = None if targets is None else _specs(targets)
        extra = model is None or any(node.layer.adds_losses() for node in model.nodes)
        figures = () if model is None else model.figures
        compiled = _try(
            faults,
            lambda: parse_compile(sections["compile"], outputs, wanted, extra_losses=extra, figures=figures),
        )
    if faults:
        raise Invalid(faults)
    assert model is not None
    assert built is not None
    assert fit is not None
    spec = RunSpec(name, seed, data, model, built, compiled, fit)
    faults = cross_faults(spec, sections, targets, splits)
    if faults:
        raise Invalid(faults)
    return spec


def faults_without_data(sections: Mapping[Any, Any], references: References) -> list[Fault]:
    """What is wrong with a run whose data section cannot be read."""
    faults = model_faults(sections["model"], references=references) if "model" in sections else []
    _try(faults, lambda: parse_fit(sections.get("fit")))
    if "compile" in sections:
        _try(faults, lambda: parse_compile(sections["compile"], None, None, extra_losses=True))
    return faults


T = TypeVar("T")


def _try(faults: list[Fault], read: Callable[[], T]) -> T | None:
    try:
        return read()
    except Invalid as invalid:
        faults += invalid.faults
        return None


def _specs(fields: Mapping[str, Field]) -> dict[str, TensorSpec]:
    return {name: TensorSpec(f.shape, "float32" if f.dtype == "unknown" else f.dtype) for name, f in fields.items()}
