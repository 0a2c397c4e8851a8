"""A whole run, described: every section checked against the others, frozen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kerascli.component import Invalid, plain
from kerascli.data.base import Field
from kerascli.data.spec import DataSpec
from kerascli.errors import Fault, suggestion
from kerascli.graph.build import Built, build
from kerascli.graph.model import Model
from kerascli.graph.parse import parse_model
from kerascli.schedules.base import Schedule
from kerascli.shapes import TensorSpec
from kerascli.spec.compile import CompileSpec, parse_compile
from kerascli.spec.fit import FitSpec, parse_fit


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


def describe(
    sections: Mapping[Any, Any],
    *,
    name: str,
    seed: int,
    data: DataSpec | None,
    inputs: Mapping[str, Field],
    targets: Mapping[str, Field] | None,
    splits: Mapping[str, int] | None = None,
) -> RunSpec:
    """Sections with every reference resolved -> RunSpec. Raises Invalid with all faults that can be found.

    `inputs` and `targets` are what is known of the data; `splits` are the names of its splits, if known.
    """
    faults: list[Fault] = []
    built = _try(faults, lambda: build(parse_model(sections.get("model"), _specs(inputs))))
    fit = _try(faults, lambda: parse_fit(sections.get("fit")))
    compiled = None
    if built is not None and "compile" in sections:
        outputs = {output: built.specs[output] for output in built.model.outputs}
        wanted = None if targets is None else _specs(targets)
        extra = any(getattr(node.layer, "activity_regularizer", None) for node in built.model.nodes)
        compiled = _try(
            faults, lambda: parse_compile(sections["compile"], outputs, wanted, extra_losses=bool(extra))
        )
    if built is None or fit is None or ("compile" in sections and compiled is None):
        raise Invalid(faults)
    spec = RunSpec(name, seed, data, built.model, built, compiled, fit)
    faults += _cross_checks(spec, targets, splits)
    if faults:
        raise Invalid(faults)
    return spec


def _try(faults: list[Fault], read: Any) -> Any:
    try:
        return read()
    except Invalid as invalid:
        faults += invalid.faults
        return None


def _specs(fields: Mapping[str, Field]) -> dict[str, TensorSpec]:
    return {name: TensorSpec(f.shape, "float32" if f.dtype == "unknown" else f.dtype) for name, f in fields.items()}


def _cross_checks(
    spec: RunSpec, targets: Mapping[str, Field] | None, splits: Mapping[str, int] | None
) -> list[Fault]:
    """What no section can know alone."""
    faults: list[Fault] = []
    fit = spec.fit
    if fit.validation_data is not None and splits is not None and fit.validation_data not in splits:
        text = f"validation_data: there is no split '{fit.validation_data}'{suggestion(fit.validation_data, splits)}"
        faults.append(Fault(text, ("fit", "validation_data"), hint=f"the data has {', '.join(splits)}"))
    if spec.compile is None:
        return faults
    known = set(spec.log_names())
    rate = spec.compile.optimizer.learning_rate
    for index, callback in enumerate(fit.callbacks):
        path = ("fit", "callbacks", index, callback.component_name)
        problem = callback.check(known)
        if problem:
            faults.append(Fault(problem, path))
        if callback.sets_learning_rate and isinstance(rate, Schedule):
            name = rate.component_name
            text = f"{callback.component_name} sets the learning rate, but the optimizer follows the schedule '{name}'"
            faults.append(Fault(text, path, hint="give the optimizer a number as learning_rate, or drop the callback"))
    return faults + _class_weight_faults(spec, targets)


def _class_weight_faults(spec: RunSpec, targets: Mapping[str, Field] | None) -> list[Fault]:
    weights, path = spec.fit.class_weight, ("fit", "class_weight")
    if weights is None:
        return []
    assert spec.compile is not None
    if len(spec.compile.goals) > 1:
        text = "class_weight: only for a model with one output, as in Keras"
        return [Fault(text, path, hint="use data.sample_weight for several outputs")]
    if spec.data is not None and spec.data.sample_weight:
        return [Fault("class_weight: give either this or data.sample_weight, not both", path)]
    field = None if targets is None else next(iter(targets.values()), None)
    if field is None or field.num_classes is None:
        return []
    known = {str(number) for number in range(field.num_classes)} | set(field.classes or ())
    return [
        Fault(f"class_weight: there is no class '{key}'{suggestion(key, known)}", (*path, key), "key")
        for key in weights
        if key not in known
    ]


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
        settings = {name: plain(getattr(node.layer, name)) for name in type(node.layer).model_fields}
        entry: dict[str, Any] = {"name": node.name, "inputs": list(node.inputs)}
        if node.outputs != (node.name, *("_" for _ in node.outputs[1:])):
            entry["outputs"] = list(node.outputs)
        entry.update({key: list(value) if isinstance(value, tuple) else value for key, value in node.call.items()})
        layers.append({node.layer.component_name: {**settings, **entry}})
    inputs = {i.name: {"shape": list(i.spec.shape), "dtype": i.spec.dtype} for i in model.inputs}
    return {"inputs": inputs, "layers": layers, "outputs": list(model.outputs)}
