"""A whole run, described: frozen, and written out as a complete config."""

from dataclasses import dataclass
from typing import Any

from kerascli.component import plain
from kerascli.data.spec import DataSpec
from kerascli.graph.build import Built
from kerascli.graph.model import Model
from kerascli.layers.base import NamingLayer
from kerascli.spec.compile import CompileSpec
from kerascli.spec.fit import FitSpec


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What was asked for, complete. `built` is the model on the meta device."""

    name: str
    seed: int
    data: DataSpec | None
    model: Model
    built: Built
    compile: CompileSpec | None
    fit: FitSpec

    def log_names(self) -> dict[str, Any]:
        """Every figure that an epoch logs, and which way it is better."""
        assert self.compile is not None
        names = dict(self.compile.log_names())
        if self.fit.validates():
            names.update({f"val_{name}": way for name, way in self.compile.log_names().items()})
        return names


def resolved(spec: RunSpec, data: Any) -> dict[str, Any]:
    """The run as a complete config: every default written out. `data` is the data section with its paths rebased."""
    out: dict[str, Any] = {"name": spec.name, "seed": spec.seed}
    if data is not None:
        out["data"] = data
    out["model"] = dump_model(spec.model)
    if spec.compile is not None:
        out["compile"] = spec.compile.dump()
    out["fit"] = spec.fit.dump()
    return out


def dump_model(model: Model) -> dict[str, Any]:
    """A model section that reads back as an equal model; every name and input is written."""
    layers = []
    for node in model.nodes:
        layer = node.layer
        entry: dict[str, Any] = {"name": node.name}
        if isinstance(layer, NamingLayer):
            layer = layer.renamed(dict(zip(layer.names(), node.inputs, strict=False)))
        else:
            entry["inputs"] = list(node.inputs)
        settings = {name: plain(getattr(layer, name)) for name in type(layer).model_fields}
        if node.outputs and node.outputs != (node.name, *("_" for _ in node.outputs[1:])):
            entry["outputs"] = list(node.outputs)
        entry.update({key: list(value) if isinstance(value, tuple) else value for key, value in node.call.items()})
        layers.append({node.layer.component_name: {**settings, **entry}})
    inputs = {i.name: {"shape": list(i.spec.shape), "dtype": i.spec.dtype} for i in model.inputs}
    return {"inputs": inputs, "layers": layers, "outputs": list(model.outputs)}
