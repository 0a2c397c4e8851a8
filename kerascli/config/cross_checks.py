"""Checks of a config's sections against each other, such as the model's outputs against the data's targets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kerascli.callbacks.base import Callback
from kerascli.callbacks.samples import ModelFacts, Sampler, ShowsRows
from kerascli.callbacks.tensorboard import TensorBoard
from kerascli.config.run import RunSpec
from kerascli.config.sections.fit import path_as_written
from kerascli.data.base import SPLITS, Field
from kerascli.data.section import DataSpec
from kerascli.data.text_codec import teacher_forcing, text_step
from kerascli.foundation.errors import Fault, Path, suggestion
from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import Component, split_form
from kerascli.language.section import Written
from kerascli.losses.ranks import runs_along_rows
from kerascli.metrics.comparisons import OutputTarget
from kerascli.model.runtime.built import Built
from kerascli.schedules.base import Schedule

Splits = Mapping[str, int] | None
"""Type of the number of rows of each of the data's splits, by name; None: the splits are unknown."""


def cross_faults(spec: RunSpec, sections: Written, splits: Splits) -> list[Fault]:
    """Return the errors of a config whose sections are valid alone but contradict each other.

    `sections` is the config as data, `splits` maps each split of the data to its number of rows (None: unknown).
    """
    faults = [*_input_faults(spec, declares_inputs=sections["model"].get("inputs") is not None), *_state_faults(spec)]
    faults += _split_faults("validation_data", spec.fit.validation_data, splits, ("fit", "validation_data"), spec)
    faults += filter(None, (_class_fault(spec, pair) for pair in spec.pairs))
    if spec.training is not None:
        faults += _overwrite_faults(spec.fit.callbacks)
        for index, callback in enumerate(spec.fit.callbacks):
            name, arguments = split_form(sections["fit"]["callbacks"][index], "callback")
            path: Path = ("fit", "callbacks", index, name)
            faults += _monitor_faults(spec, callback, path, arguments)
            faults += _callback_faults(spec, callback, path, arguments, splits)
        faults += _sample_weight_faults(spec)
    return faults


def _split_faults(what: str, name: str | None, splits: Splits, path: Path, spec: RunSpec) -> Iterator[Fault]:
    """Yield a config error if `name`, the value of the setting `what`, is not the name of a split of the data."""
    names = splits or SPLITS
    if name is not None and name not in names:
        hint = f"the data has {', '.join(names)}" if splits else None
        if name == "validation" and spec.data is not None and spec.data.has_unused_folds:
            hint = "each fold of data.split.folds is it in turn: kerascli train CONFIG --folds"
        yield Fault(f"{what}: there is no split '{name}'{suggestion(name, names)}", path, hint=hint)


def fit_faults(spec: RunSpec, fit: Any) -> list[Fault]:
    """Return the config errors that only a training has: without trainable weights, or with weights of other classes.

    `fit` is the section as data.
    """
    if spec.compile is None or spec.built.trainable():
        return [*_class_weight_faults(spec, fit)]
    path: Path = ("fit", "trainable") if spec.fit.trainable else ("model", "layers")
    return [Fault("the model has no trainable weights: there is nothing to fit", path, "key")]


def _input_faults(spec: RunSpec, *, declares_inputs: bool) -> Iterator[Fault]:
    """Yield a config error for each input of the data that the model does not use, and for each model input that the
    data lacks."""
    if spec.data is not None and spec.train_step is not None and not spec.data.source.is_empty:
        used = {each.name for graph in spec.graphs for each in graph.model.inputs}
        for name in spec.data.inputs:
            if name not in used:
                text = f"input '{name}' is used neither by an update nor by the model"
                yield Fault(text, ("data", "inputs", name), "key")
        return
    if spec.data is None or not declares_inputs:
        return
    declared = [each.name for each in spec.model.inputs]
    for name in declared:
        if name not in spec.data.inputs:
            text = f"the data has no input '{name}'{suggestion(name, spec.data.inputs)}"
            yield Fault(text, ("model", "inputs", name), "key", hint=f"data.inputs has {', '.join(spec.data.inputs)}")
    for name in spec.data.inputs:
        if name not in declared:
            hint = f"add it to model.inputs, which has {', '.join(declared)}"
            yield Fault(f"input '{name}' is not used by the model", ("data", "inputs", name), "key", hint=hint)


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


def _class_fault(spec: RunSpec, pair: OutputTarget) -> Fault | None:
    """Return a config error if a target has more classes than its model output has units; else None."""
    field = (spec.targets or {}).get(pair.target)
    if pair.loss is None or field is None or field.num_classes is None:
        return None
    labels = pair.loss.labels(TensorSpec(field.shape, field.dtype), spec.built.specs[pair.output])
    if labels is None:
        return None
    count, highest = field.num_classes, labels.high
    first = field.first_class or 0
    if first and highest is not None and count - 1 - first <= highest < count - 1:
        text = f"target '{pair.target}' has the labels {first} to {count - 1}, but class labels begin at 0"
        hint = "integer_lookup numbers them from 0: add it to the target's pipeline: [..., integer_lookup]"
        return Fault(text, ("data", "targets", pair.target), "key", hint=hint)
    if not labels.whole:
        text = f"'{pair.loss.component_name}' is for two classes, target '{pair.target}' has {count}"
        hint = f"write sparse_categorical_crossentropy, and in the last layer units: {count}, activation: softmax"
        return Fault(text, ("compile", "loss"), hint=hint) if count > 2 and field.shape in {(), (1,)} else None
    if highest is None or count - 1 <= highest or count - 1 == labels.besides:
        return None
    node = next(node for node in spec.model.nodes if pair.output in node.outputs)
    text = f"'{pair.output}' has {highest + 1} outputs, target '{pair.target}' has {count} classes"
    return Fault(text, node.path, "key", hint=f"one output per class: units: $targets.{pair.target}.num_classes")


def _overwrite_faults(callbacks: Sequence[Callback]) -> Iterator[Fault]:
    """Yield a config error for each callback that would write the same checkpoint or file as an earlier one."""
    claimed: set[str] = set()
    for index, callback in enumerate(callbacks):
        for place in callback.claims():
            if place in claimed:
                hint = "give one of them another 'file'" if isinstance(callback, Sampler) else None
                yield Fault(f"two callbacks write {place}", ("fit", "callbacks", index), "key", hint=hint)
            claimed.add(place)


def _callback_faults(spec: RunSpec, callback: Callback, path: Path, arguments: Any, splits: Splits) -> Iterator[Fault]:
    """Yield the config errors of a callback, at `path`, that conflicts with the rest of the run; `arguments` is its
    value in the config."""
    assert spec.training is not None
    rules = [optimizer.rule for optimizer in spec.training.optimizers.values()]
    if callback.validates_with_averages and not any(rule.use_ema for rule in rules):
        text = f"{callback.component_name} needs moving averages of the weights, but the optimizer keeps none"
        yield Fault(text, path, "key", hint=f"set use_ema: true on {rules[0].component_name}")
    if isinstance(callback, TensorBoard) and (view := callback.embeddings_view) is not None:
        text = f"tensorboard: the model has no view '{view}'{suggestion(view, spec.model.views)}"
        if view in spec.model.views:
            text = f"tensorboard: the view '{view}' has its own inputs and cannot be run on rows of the data"
        if view not in spec.model.views or not models_of(spec)[view].reads_data:
            yield _of_argument(text, path, "embeddings_view", arguments)
    if isinstance(callback, Sampler):
        yield from _sample_faults(spec, callback, path, arguments, splits)
    if callback.sets_learning_rate:
        yield from _learning_rate_faults(spec, callback, path)


def _sample_faults(spec: RunSpec, callback: Sampler, path: Path, arguments: Any, splits: Splits) -> Iterator[Fault]:
    """Yield the config errors of the callback at `path`, which generates samples (texts, images ...), if the run's
    model or data does not support it."""
    name = callback.component_name
    if (mismatch := callback.check_model(models_of(spec))) is not None:
        setting, text = mismatch
        yield _of_argument(f"{name}: {text}", path, setting, arguments)
    if isinstance(callback, ShowsRows):
        yield from _split_faults(f"{name}: split", callback.split, splits, (*path, "split"), spec)
    view = spec.model.views.get(callback.view or "")
    stateful = next((node for node in (view.model if view else spec.model).nodes if node.layer.keeps_states()), None)
    if stateful is not None:
        text = f"{name}: '{stateful.name}' is stateful: it takes only whole batches of rows"
        yield Fault(text, path, "key")


def _of_argument(text: str, path: Path, name: str | None, arguments: Any) -> Fault:
    """Return the config error of the argument `name` of a callback: at the argument if it is written, else at the
    callback."""
    is_written = isinstance(arguments, dict) and name in arguments
    return Fault(text, (*path, str(name)), "value") if is_written else Fault(text, path, "key")


def models_of(spec: RunSpec) -> dict[str | None, ModelFacts]:
    """Return a mapping from view (submodel) to its ModelFacts (inputs, outputs, shapes), for callbacks that sample.

    The keys are the names of the views, and None for the model itself. The callbacks generate images, texts ... in
    training.
    """
    model = _facts(spec.built, spec.data, own_inputs=False)
    views = spec.model.views.items()
    return {None: model, **{n: _facts(spec.built.views[n], spec.data, own_inputs=v.own_inputs) for n, v in views}}


def _facts(built: Built, data: DataSpec | None, *, own_inputs: bool) -> ModelFacts:
    inputs = {each.name: each.spec for each in built.model.inputs}
    reads_data = not own_inputs and data is not None and set(inputs) <= set(data.inputs)
    ids = ((node.inputs[:1], node.layer.id_count) for node in built.model.nodes)
    classes = {name: count for names, count in ids for name in names if count is not None}
    outputs = {name: built.specs[name] for name in built.model.outputs}
    if data is None:
        return ModelFacts(inputs, outputs, reads_data, classes, frozenset(), None, ())
    forcing = teacher_forcing(data) if reads_data and len(inputs) > 1 else None  # with one input a language model
    decodes = (forcing.input, forcing.target) if forcing is not None and forcing.input in inputs else None
    return ModelFacts(inputs, outputs, reads_data, classes, _texts(data), decodes, tuple(data.targets))


def _texts(data: DataSpec) -> frozenset[str]:
    """Return the names of the inputs and targets that are text."""
    pipelines = (*data.inputs.items(), *data.targets.items())
    return frozenset(name for name, pipeline in pipelines if text_step(pipeline.steps) is not None)


def _monitor_faults(spec: RunSpec, callback: Callback, path: Path, arguments: Any) -> Iterator[Fault]:
    """Yield a config error if a callback monitors a metric that the run does not log."""
    names, several, monitored = spec.log_names(), spec.several(), callback.watched()
    missing = [name for name in monitored if name not in names]
    if missing and spec.targets is None and all(name.startswith(tuple(f"{n}_" for n in several)) for name in missing):
        return  # the columns are named by classes, which only the data knows
    if (name := next((name for name in monitored if name in several), None)) is not None:
        columns = ", ".join(several[name])
        problem = f"'{name}' has {len(several[name])} values; monitor one of its columns: {columns}"
    else:
        problem = callback.check(names)
    if problem:
        yield _of_argument(problem, path, callback.argument_that_names(next(iter(missing), "")), arguments)


def _learning_rate_faults(spec: RunSpec, callback: Callback, path: Path) -> Iterator[Fault]:
    """Yield a config error if a callback sets a learning rate that a schedule sets, or the learning rate of an unknown
    `train_step` update."""
    assert spec.training is not None
    rules = {name: optimizer.rule for name, optimizer in spec.training.optimizers.items()}
    update = getattr(callback, "update", None)
    if update is not None and update not in rules:
        names = [name for name in rules if name]
        hint = f"updates: {', '.join(names)}" if names else "remove it: there is only one optimizer"
        text = f"update: there is no update '{update}' in fit.train_step{suggestion(update, names)}"
        yield Fault(text, (*path, "update"), hint=hint)
        return
    for name, rule in rules.items():
        rate = rule.learning_rate
        if isinstance(rate, Schedule) and update in (None, name):
            owner = f"the optimizer of '{name}'" if name else "the optimizer"
            text = f"{callback.component_name} sets the learning rate, but {owner} follows '{rate.component_name}'"
            hint = "give the optimizer a number as learning_rate, or drop the callback"
            yield Fault(text, path, "key", hint=hint)


def _class_weight_faults(spec: RunSpec, fit: Any) -> Iterator[Fault]:
    """Yield the config errors of `class_weight`: it needs a single output with one class a sample, known classes and
    no sample weights."""
    path: Path = ("fit", "class_weight")
    if spec.fit.class_weight is None:
        return
    if spec.compile is None:
        text = "class_weight cannot be used with train_step, whose losses compare any two tensors"
        yield Fault(text, path, "key", hint="use data.sample_weight, or the weight of a loss")
    elif len(spec.pairs) > 1:
        text = "class_weight is only for a model with one output, as in Keras"
        yield Fault(text, path, "key", hint="use data.sample_weight for several outputs")
    elif spec.data is not None and spec.data.sample_weight:
        yield Fault("class_weight and data.sample_weight cannot be combined; give one of them", path, "key")
    else:
        for pair in spec.pairs:
            yield from _faults_of_classes(spec, pair, path, fit)


def _faults_of_classes(spec: RunSpec, pair: OutputTarget, path: Path, fit: Any) -> Iterator[Fault]:
    """Yield the config errors of `class_weight` for the classes of a target."""
    loss, kind = ("no loss", "values") if pair.loss is None else (pair.loss.component_name, pair.loss.predicts)
    weights, field = spec.fit.class_weight, (spec.targets or {}).get(pair.target)
    is_wide = spec.built.specs[pair.output].shape[-1:] not in ((), (1,))
    if kind == "labels" and is_wide and (field is None or field.num_classes is None):  # else they are one-hot
        text = f"class_weight: the target '{pair.target}' may have several labels at once ({loss})"
        yield Fault(text, path, "key", hint="use data.sample_weight, or an output for each label")
    elif isinstance(weights, dict):
        for fault in _unknown_classes(weights, path, field):
            yield replace(fault, path=path_as_written(fault.path, fit))
    elif kind == "values":
        text = f"class_weight: balanced: the target '{pair.target}' has no classes ({loss})"
        yield Fault(text, path, hint="weights of a regression are data.sample_weight")


def _sample_weight_faults(spec: RunSpec) -> Iterator[Fault]:
    """If the config has sample or class weights, yield a config error for each loss and metric that reduces over the
    rows of a batch."""
    weighted = spec.data.sample_weight if spec.data is not None else {}
    for target, component, output in _weighted(spec):
        if runs_along_rows(component, output) and (target in weighted or spec.fit.class_weight is not None):
            path: Path = ("data", "sample_weight", target) if target in weighted else ("fit", "class_weight")
            name = component.component_name
            text = f"'{name}' along axis 0 reduces over the rows of a batch: sample weights cannot be applied"
            yield Fault(text, path, "key", hint=f"give {name} axes without 0, the rows: [1, 2] ...")


def _weighted(spec: RunSpec) -> Iterator[tuple[str, Component, TensorSpec]]:
    """Yield (target, loss or metric, shape and dtype of the output) for all that sample weights apply to."""
    for pair in spec.pairs:
        components = (pair.loss, *(use.metric for use in pair.metrics if use.weighted))
        yield from ((pair.target, each, spec.built.specs[pair.output]) for each in components if each is not None)
    for each in spec.train_step.passes if spec.train_step is not None else ():
        for term in (term for update in each.updates for term in update.terms):
            if term.loss is not None and term.of is not None and term.of.is_target:
                yield str(term.of.y_true), term.loss, each.built.specs[term.of.y_pred]


def _unknown_classes(weights: Mapping[str, float], path: Path, field: Field | None) -> Iterator[Fault]:
    """Yield a config error for each key of `class_weight` that is neither the index nor the name of a class."""
    if field is None:
        return
    names, count = field.classes or (), field.num_classes
    if count is None:
        for key in weights:
            if not key.isdigit():
                text = f"class_weight: '{key}' is not a class index, and the classes of the target have no names"
                yield Fault(text, (*path, key), "key")
        return
    are_names = any(map(str.isdigit, names)) and not weights.keys().isdisjoint(names)  # an index may be another's name
    named = {} if are_names else {str(index): names[index] if index < len(names) else None for index in range(count)}
    for key in weights:
        if key not in named and key not in names:
            text = f"class_weight: there is no class '{key}'{suggestion(key, names)}"
            hint = f"the classes are {', '.join(names) or f'0 to {count - 1}'}"
            yield Fault(text, (*path, key), "key", hint=hint)
        elif named.get(key) in weights:
            text = f"class_weight: '{named[key]}' and {key}, its index, are the same class"
            yield Fault(text, (*path, key), "key", hint="give one weight for each class")
