"""What no section of a config can know alone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kerascli.callbacks.base import Callback
from kerascli.callbacks.samples import Sampler
from kerascli.component import Component
from kerascli.config.run import RunSpec
from kerascli.config.sample_checks import sample_faults
from kerascli.config.sections.fit import path_as_written
from kerascli.config.splits import split_faults
from kerascli.data.base import Field
from kerascli.errors import Fault, Path, suggestion
from kerascli.losses.ranks import takes_weights
from kerascli.metrics.comparisons import OutputTarget
from kerascli.optimizers.base import Optimizer
from kerascli.schedules.base import Schedule
from kerascli.shapes import TensorSpec


def cross_faults(
    spec: RunSpec,
    sections: Mapping[Any, Any],
    targets: Mapping[str, Field] | None,
    splits: Mapping[str, int] | None,
) -> list[Fault]:
    """Faults of sections that are sound but do not go together; `sections` says how things are written."""
    faults = [*_input_faults(spec, sections), *_validation_faults(spec, splits), *_state_faults(spec)]
    if spec.compile is not None:
        for pair in spec.compile.pairs:
            faults += _class_faults(spec, pair, targets)
    if spec.training is not None:
        faults += _rival_faults(spec.fit.callbacks)
        for index, callback in enumerate(spec.fit.callbacks):
            written = sections["fit"]["callbacks"][index]
            name, arguments = next(iter(written.items())) if isinstance(written, dict) else (written, None)
            path: Path = ("fit", "callbacks", index, name)
            faults += _figure_faults(spec, callback, path, arguments, are_classes_known=targets is not None)
            faults += _callback_faults(spec, callback, path, arguments, splits)
        faults += [*_weight_faults(spec, sections, targets), *_row_faults(spec)]
    return faults


def idle_fit_faults(spec: RunSpec) -> list[Fault]:
    """A model that is to be trained has weights that are."""
    if spec.compile is None or spec.built.trainable():
        return []
    path: Path = ("fit", "trainable") if spec.fit.trainable else ("model", "layers")
    return [Fault("the model has no trainable weights: there is nothing to fit", path, "key")]


def _input_faults(spec: RunSpec, sections: Mapping[Any, Any]) -> Iterator[Fault]:
    """Inputs that the model declares are those of the data, by name."""
    if spec.data is not None and spec.train_step is not None:
        used = {given.name for graph in spec.graphs for given in graph.model.inputs}
        for name in spec.data.inputs:
            if name not in used:
                text = f"input '{name}' is used by no update, and not by the model"
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
    """Stateful layers need batches of one size in which each row goes on where that of the batch before ended."""
    stateful = next((node for node in spec.model.nodes if node.layer.keeps_states()), None)
    if stateful is None:
        if spec.fit.reset_states != "epoch":
            yield Fault("reset_states: no layer of the model is stateful", ("fit", "reset_states"), hint="take it out")
        return
    if spec.fit.shuffle:
        text = f"'{stateful.name}' is stateful: a batch goes on where the one before it ended, but rows are shuffled"
        yield Fault(text, stateful.path, "key", hint="fit.shuffle: false")
    size = spec.fit.validation_batch_size
    if size not in (None, spec.fit.batch_size):
        text = f"validation_batch_size: '{stateful.name}' is stateful, all batches have {spec.fit.batch_size} rows"
        yield Fault(text, ("fit", "validation_batch_size"), hint="take it out")


def _class_faults(spec: RunSpec, pair: OutputTarget, targets: Mapping[str, Field] | None) -> Iterator[Fault]:
    """Class numbers go up to the number of outputs."""
    field = None if targets is None else targets.get(pair.target)
    if pair.loss is None or field is None or field.num_classes is None:
        return
    labels = pair.loss.labels(TensorSpec(field.shape, field.dtype), spec.built.specs[pair.output])
    if labels is None or labels.high is None or not labels.whole:
        return
    if field.num_classes - 1 > labels.high and field.num_classes - 1 != labels.besides:
        node = next(node for node in spec.model.nodes if pair.output in node.outputs)
        text = f"'{pair.output}' has {labels.high + 1} outputs, target '{pair.target}' has {field.num_classes} classes"
        yield Fault(text, node.path, "key", hint=f"one output a class: units: $targets.{pair.target}.num_classes")


def _rival_faults(callbacks: Sequence[Callback]) -> Iterator[Fault]:
    """Two callbacks that keep something in one place would overwrite each other's."""
    taken: set[str] = set()
    for index, callback in enumerate(callbacks):
        for place in callback.claims():
            if place in taken:
                hint = "give one of them another 'file'" if isinstance(callback, Sampler) else None
                yield Fault(f"two callbacks keep {place}", ("fit", "callbacks", index), "key", hint=hint)
            taken.add(place)


def _callback_faults(
    spec: RunSpec, callback: Callback, path: Path, arguments: Any, splits: Mapping[str, int] | None
) -> Iterator[Fault]:
    """`arguments` are what stands after the callback's name, at `path`."""
    assert spec.training is not None
    rules = {name: optimizer.rule for name, optimizer in spec.training.optimizers.items()}
    if callback.judges_averages and not any(rule.use_ema for rule in rules.values()):
        text = f"{callback.component_name} needs moving averages of the weights, which the optimizer does not keep"
        yield Fault(text, path, "key", hint=f"set use_ema: true on {next(iter(rules.values())).component_name}")
    if isinstance(callback, Sampler):
        yield from sample_faults(spec, callback, path, arguments, splits)
    if callback.sets_learning_rate:
        yield from _rate_faults(callback, rules, path)


def _figure_faults(
    spec: RunSpec, callback: Callback, path: Path, arguments: Any, *, are_classes_known: bool
) -> Iterator[Fault]:
    """What a callback watches is a column of the history."""
    figures, several, watched = spec.log_names(), spec.several(), callback.watched()
    missing = [figure for figure in watched if figure not in figures]
    if (
        missing
        and not are_classes_known
        and all(figure.startswith(tuple(f"{n}_" for n in several)) for figure in missing)
    ):
        return  # columns are called by classes, whose names the data is to tell
    problem = _whole_metric(watched, several) or callback.check(figures)
    if problem:
        key = callback.names_figure_in(next(iter(missing), ""))
        is_said = isinstance(arguments, dict) and key in arguments
        yield Fault(problem, (*path, key) if is_said else path, "value" if is_said else "key")


def _whole_metric(watched: Sequence[str], several: Mapping[str, Sequence[str]]) -> str | None:
    """What is wrong where a callback watches a metric of several values: one of them it can watch."""
    for figure in watched:
        if figure in several:
            columns = ", ".join(several[figure])
            return f"'{figure}' has {len(several[figure])} values; watch one of its columns: {columns}"
    return None


def _rate_faults(callback: Callback, rules: Mapping[str, Optimizer], path: Path) -> Iterator[Fault]:
    """A rate that a callback sets is one that nothing else sets."""
    update = getattr(callback, "update", None)
    if update is not None and update not in rules:
        known = [name for name in rules if name]
        hint = f"updates: {', '.join(known)}" if known else "take it out: there is one optimizer"
        text = f"update: there is no update '{update}' in fit.train_step{suggestion(update, known)}"
        yield Fault(text, (*path, "update"), hint=hint)
        return
    for name, rule in rules.items():
        rate = rule.learning_rate
        if isinstance(rate, Schedule) and update in (None, name):
            whose = f"the optimizer of '{name}'" if name else "the optimizer"
            text = f"{callback.component_name} sets the learning rate, but {whose} follows '{rate.component_name}'"
            hint = "give the optimizer a number as learning_rate, or drop the callback"
            yield Fault(text, path, "key", hint=hint)


def _weight_faults(spec: RunSpec, sections: Mapping[Any, Any], targets: Mapping[str, Field] | None) -> Iterator[Fault]:
    """Class weights are for the classes of one target, and the only weights."""
    if spec.fit.class_weight is None:
        return
    path: Path = ("fit", "class_weight")
    if spec.compile is None:
        text = "class_weight: not with train_step, whose losses are between any two tensors"
        yield Fault(text, path, "key", hint="use data.sample_weight, or the weight of a loss")
    elif len(spec.compile.pairs) > 1:
        text = "class_weight: only for a model with one output, as in Keras"
        yield Fault(text, path, "key", hint="use data.sample_weight for several outputs")
    elif spec.data is not None and spec.data.sample_weight:
        yield Fault("class_weight: give either this or data.sample_weight, not both", path, "key")
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


def _row_faults(spec: RunSpec) -> Iterator[Fault]:
    """Sample weights go with values of samples, not with values for all rows."""
    uses: list[tuple[str, Component | None]] = []
    if spec.compile is not None:
        for pair in spec.compile.pairs:
            judges = (pair.loss, *(use.metric for use in pair.metrics if use.weighted))
            uses += [(pair.target, judge) for judge in judges]
    if spec.train_step is not None:
        terms = (term for update in spec.train_step.updates for term in update.terms)
        uses += [(str(t.of.y_true), t.loss) for t in terms if t.of is not None and t.of.is_target]
    weighted = spec.data.sample_weight if spec.data is not None else {}
    for target, judge in uses:
        if not takes_weights(judge) and (target in weighted or spec.fit.class_weight is not None):
            path: Path = ("data", "sample_weight", target) if target in weighted else ("fit", "class_weight")
            name = judge.component_name if judge is not None else ""
            text = f"'{name}' along axis 0 has values for all rows of a batch, which weights of samples cannot weigh"
            yield Fault(text, path, "key", hint=f"give {name} an axis without the rows (0): [1, 2] ...")


def _unknown_classes(weights: Mapping[str, float], path: Path, field: Field | None) -> Iterator[Fault]:
    if field is None:
        return
    if field.num_classes is None:
        for key in weights:
            if not key.isdigit():
                text = f"class_weight: '{key}' is no class number, and the classes of the target have no names"
                yield Fault(text, (*path, key), "key")
        return
    known = [*map(str, range(field.num_classes)), *(field.classes or ())]
    words = ", ".join(field.classes) if field.classes else f"0 to {field.num_classes - 1}"
    for key in weights:
        if key not in known:
            text = f"class_weight: there is no class '{key}'{suggestion(key, field.classes or ())}"
            yield Fault(text, (*path, key), "key", hint=f"the classes are {words}")
