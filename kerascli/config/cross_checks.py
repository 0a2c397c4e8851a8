"""Checks of a config's sections against each other, such as the model's outputs against the data's targets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kerascli.callbacks.base import Callback
from kerascli.callbacks.samples import Sampler
from kerascli.config.run import RunSpec
from kerascli.config.sample_checks import sample_faults
from kerascli.config.sections.fit import path_as_written
from kerascli.config.splits import split_faults
from kerascli.data.base import Field
from kerascli.foundation.errors import Fault, Path, suggestion
from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import Component
from kerascli.losses.ranks import takes_weights
from kerascli.metrics.comparisons import OutputTarget
from kerascli.optimizers.base import Optimizer
from kerascli.schedules.base import Schedule


def cross_faults(
    spec: RunSpec,
    sections: Mapping[Any, Any],
    targets: Mapping[str, Field] | None,
    splits: Mapping[str, int] | None,
) -> list[Fault]:
    """Return the config errors of a run whose sections are valid alone but contradict each other.

    `sections` are the config's, as written.
    """
    faults = [*_input_faults(spec, sections), *_validation_faults(spec, splits), *_state_faults(spec)]
    if spec.compile is not None:
        for pair in spec.compile.pairs:
            faults += _class_faults(spec, pair, targets)
    if spec.training is not None:
        faults += _overwrite_faults(spec.fit.callbacks)
        for index, callback in enumerate(spec.fit.callbacks):
            written = sections["fit"]["callbacks"][index]
            name, arguments = next(iter(written.items())) if isinstance(written, dict) else (written, None)
            path: Path = ("fit", "callbacks", index, name)
            faults += _monitor_faults(spec, callback, path, arguments, are_classes_known=targets is not None)
            faults += _callback_faults(spec, callback, path, arguments, splits)
        faults += [*_class_weight_faults(spec, sections, targets), *_sample_weight_faults(spec)]
    return faults


def idle_fit_faults(spec: RunSpec) -> list[Fault]:
    """Return a config error if the model is to be trained, but has no trainable weights."""
    if spec.compile is None or spec.built.trainable():
        return []
    path: Path = ("fit", "trainable") if spec.fit.trainable else ("model", "layers")
    return [Fault("the model has no trainable weights: there is nothing to fit", path, "key")]


def _input_faults(spec: RunSpec, sections: Mapping[Any, Any]) -> Iterator[Fault]:
    """Yield a config error for each input of the data that the model does not use, and for each model input that the
    data lacks."""
    if spec.data is not None and spec.train_step is not None:
        used = {given.name for graph in spec.graphs for given in graph.model.inputs}
        for name in spec.data.inputs:
            if name not in used:
                text = f"input '{name}' is used neither by an update nor by the model"
                yield Fault(text, ("data", "inputs", name), "key")
        return
    if spec.data is None or sections["model"].get("inputs") is None:
        return
    declared = [given.name for given in spec.model.inputs]
    for name in declared:
        if name not in spec.data.inputs:
            text = f"the data has no input '{name}'{suggestion(name, spec.data.inputs)}"
            yield Fault(text, ("model", "inputs", name), "key", hint=f"data.inputs has {', '.join(spec.data.inputs)}")
    for name in spec.data.inputs:
        if name not in declared:
            hint = f"add it to model.inputs, which has {', '.join(declared)}"
            yield Fault(f"input '{name}' is not used by the model", ("data", "inputs", name), "key", hint=hint)


def _validation_faults(spec: RunSpec, splits: Mapping[str, int] | None) -> Iterator[Fault]:
    if spec.fit.validation_data is not None:
        yield from split_faults("validation_data", spec.fit.validation_data, splits, ("fit", "validation_data"))


def _state_faults(spec: RunSpec) -> Iterator[Fault]:
    """Yield the config errors of settings (such as `shuffle`) that conflict with the model's stateful layers.

    Rows must not be shuffled, and all batches must have one size.
    """
    stateful = next((node for node in spec.model.nodes if node.layer.keeps_states()), None)
    if stateful is None:
        if spec.fit.reset_states != "epoch":
            yield Fault("reset_states: no layer of the model is stateful", ("fit", "reset_states"), hint="remove it")
        return
    if spec.fit.shuffle:
        text = f"'{stateful.name}' is stateful: a batch continues the one before it, but rows are shuffled"
        yield Fault(text, stateful.path, "key", hint="fit.shuffle: false")
    size = spec.fit.validation_batch_size
    if size not in (None, spec.fit.batch_size):
        text = f"validation_batch_size: '{stateful.name}' is stateful: all batches must have {spec.fit.batch_size} rows"
        yield Fault(text, ("fit", "validation_batch_size"), hint="remove it")


def _class_faults(spec: RunSpec, pair: OutputTarget, targets: Mapping[str, Field] | None) -> Iterator[Fault]:
    """Yield a config error if a target has more classes than its model output has units."""
    field = None if targets is None else targets.get(pair.target)
    if pair.loss is None or field is None or field.num_classes is None:
        return
    labels = pair.loss.labels(TensorSpec(field.shape, field.dtype), spec.built.specs[pair.output])
    if labels is not None and (fault := _first_label_fault(pair, field, labels.high)):
        yield fault
        return
    if labels is not None and not labels.whole and field.num_classes > 2 and field.shape in {(), (1,)}:
        text = f"'{pair.loss.component_name}' is for two classes, target '{pair.target}' has {field.num_classes}"
        layer = f"units: {field.num_classes}, activation: softmax"
        hint = f"write sparse_categorical_crossentropy, and in the last layer {layer}"
        yield Fault(text, ("compile", "loss"), hint=hint)
        return
    if labels is None or labels.high is None or not labels.whole:
        return
    if field.num_classes - 1 > labels.high and field.num_classes - 1 != labels.besides:
        node = next(node for node in spec.model.nodes if pair.output in node.outputs)
        text = f"'{pair.output}' has {labels.high + 1} outputs, target '{pair.target}' has {field.num_classes} classes"
        yield Fault(text, node.path, "key", hint=f"one output per class: units: $targets.{pair.target}.num_classes")


def _first_label_fault(pair: OutputTarget, field: Field, highest: int | None) -> Fault | None:
    """Return a config error if a target's class labels would fit the output, but do not begin at 0; else None."""
    if not field.first_class or field.num_classes is None or highest is None:
        return None
    last = field.num_classes - 1
    if not last - field.first_class <= highest < last:
        return None
    text = f"target '{pair.target}' has the labels {field.first_class} to {last}, but class labels begin at 0"
    hint = "integer_lookup numbers them from 0: add it to the target's pipeline: [..., integer_lookup]"
    return Fault(text, ("data", "targets", pair.target), "key", hint=hint)


def _overwrite_faults(callbacks: Sequence[Callback]) -> Iterator[Fault]:
    """Yield a config error for each callback that would write the same checkpoint or file as an earlier one."""
    taken: set[str] = set()
    for index, callback in enumerate(callbacks):
        for place in callback.claims():
            if place in taken:
                hint = "give one of them another 'file'" if isinstance(callback, Sampler) else None
                yield Fault(f"two callbacks write {place}", ("fit", "callbacks", index), "key", hint=hint)
            taken.add(place)


def _callback_faults(
    spec: RunSpec, callback: Callback, path: Path, arguments: Any, splits: Mapping[str, int] | None
) -> Iterator[Fault]:
    """Yield the config errors of a callback, at `path`, that conflicts with the rest of the run; `arguments` is its
    value in the config."""
    assert spec.training is not None
    rules = {name: optimizer.rule for name, optimizer in spec.training.optimizers.items()}
    if callback.validates_with_averages and not any(rule.use_ema for rule in rules.values()):
        text = f"{callback.component_name} needs moving averages of the weights, but the optimizer keeps none"
        yield Fault(text, path, "key", hint=f"set use_ema: true on {next(iter(rules.values())).component_name}")
    if isinstance(callback, Sampler):
        yield from sample_faults(spec, callback, path, arguments, splits)
    if callback.sets_learning_rate:
        yield from _learning_rate_faults(callback, rules, path)


def _monitor_faults(
    spec: RunSpec, callback: Callback, path: Path, arguments: Any, *, are_classes_known: bool
) -> Iterator[Fault]:
    """Yield a config error if a callback monitors a metric that the run does not log."""
    names, several, monitored = spec.log_names(), spec.several(), callback.watched()
    missing = [name for name in monitored if name not in names]
    if missing and not are_classes_known and all(name.startswith(tuple(f"{n}_" for n in several)) for name in missing):
        return  # the columns are named by classes, which only the data knows
    problem = _multi_value_problem(monitored, several) or callback.check(names)
    if problem:
        key = callback.argument_that_names(next(iter(missing), ""))
        is_written = isinstance(arguments, dict) and key in arguments
        yield Fault(problem, (*path, key) if is_written else path, "value" if is_written else "key")


def _multi_value_problem(monitored: Sequence[str], several: Mapping[str, Sequence[str]]) -> str | None:
    """Return an error message if a callback monitors a metric with several values, instead of one of the metric's
    history columns; else None."""
    for name in monitored:
        if name in several:
            columns = ", ".join(several[name])
            return f"'{name}' has {len(several[name])} values; monitor one of its columns: {columns}"
    return None


def _learning_rate_faults(callback: Callback, rules: Mapping[str, Optimizer], path: Path) -> Iterator[Fault]:
    """Yield a config error if a callback sets a learning rate that a schedule sets, or the learning rate of an unknown
    `train_step` update."""
    update = getattr(callback, "update", None)
    if update is not None and update not in rules:
        known = [name for name in rules if name]
        hint = f"updates: {', '.join(known)}" if known else "remove it: there is only one optimizer"
        text = f"update: there is no update '{update}' in fit.train_step{suggestion(update, known)}"
        yield Fault(text, (*path, "update"), hint=hint)
        return
    for name, rule in rules.items():
        rate = rule.learning_rate
        if isinstance(rate, Schedule) and update in (None, name):
            owner = f"the optimizer of '{name}'" if name else "the optimizer"
            text = f"{callback.component_name} sets the learning rate, but {owner} follows '{rate.component_name}'"
            hint = "give the optimizer a number as learning_rate, or drop the callback"
            yield Fault(text, path, "key", hint=hint)


def _class_weight_faults(
    spec: RunSpec, sections: Mapping[Any, Any], targets: Mapping[str, Field] | None
) -> Iterator[Fault]:
    """Yield the config errors of `class_weight`: it needs a single output, known classes and no sample weights."""
    if spec.fit.class_weight is None:
        return
    path: Path = ("fit", "class_weight")
    if spec.compile is None:
        text = "class_weight cannot be used with train_step, whose losses compare any two tensors"
        yield Fault(text, path, "key", hint="use data.sample_weight, or the weight of a loss")
    elif len(spec.compile.pairs) > 1:
        text = "class_weight is only for a model with one output, as in Keras"
        yield Fault(text, path, "key", hint="use data.sample_weight for several outputs")
    elif spec.data is not None and spec.data.sample_weight:
        yield Fault("class_weight and data.sample_weight cannot be combined; give one of them", path, "key")
    else:
        field = next(iter((targets or {}).values()), None)
        if spec.fit.class_weight == "balanced":
            pair = next(iter(spec.compile.pairs), None)
            if pair is not None and (pair.loss is None or pair.loss.predicts == "values"):
                loss = pair.loss.component_name if pair.loss is not None else "no loss"
                text = f"class_weight: balanced: the target '{pair.target}' has no classes ({loss})"
                yield Fault(text, path, hint="weights of a regression are data.sample_weight")
            return
        for fault in _unknown_classes(spec.fit.class_weight, path, field):
            yield replace(fault, path=path_as_written(fault.path, sections["fit"]))


def _sample_weight_faults(spec: RunSpec) -> Iterator[Fault]:
    """If the config has sample or class weights, yield a config error for each loss and metric that reduces over the
    rows of a batch."""
    uses: list[tuple[str, Component | None]] = []
    if spec.compile is not None:
        for pair in spec.compile.pairs:
            components = (pair.loss, *(use.metric for use in pair.metrics if use.weighted))
            uses += [(pair.target, component) for component in components]
    if spec.train_step is not None:
        terms = (term for update in spec.train_step.updates for term in update.terms)
        uses += [(str(t.of.y_true), t.loss) for t in terms if t.of is not None and t.of.is_target]
    weighted = spec.data.sample_weight if spec.data is not None else {}
    for target, component in uses:
        if not takes_weights(component) and (target in weighted or spec.fit.class_weight is not None):
            path: Path = ("data", "sample_weight", target) if target in weighted else ("fit", "class_weight")
            name = component.component_name if component is not None else ""
            text = f"'{name}' along axis 0 reduces over the rows of a batch: sample weights cannot be applied"
            yield Fault(text, path, "key", hint=f"give {name} axes without 0, the rows: [1, 2] ...")


def _unknown_classes(weights: Mapping[str, float], path: Path, field: Field | None) -> Iterator[Fault]:
    if field is None:
        return
    if field.num_classes is None:
        for key in weights:
            if not key.isdigit():
                text = f"class_weight: '{key}' is not a class index, and the classes of the target have no names"
                yield Fault(text, (*path, key), "key")
        return
    known = [*map(str, range(field.num_classes)), *(field.classes or ())]
    words = ", ".join(field.classes) if field.classes else f"0 to {field.num_classes - 1}"
    for key in weights:
        if key not in known:
            text = f"class_weight: there is no class '{key}'{suggestion(key, field.classes or ())}"
            yield Fault(text, (*path, key), "key", hint=f"the classes are {words}")
