"""Load a trained run from its folder: the model with its weights, and the fitted preprocessing."""

import math
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from kerascli.config.config import Config, Progress
from kerascli.config.describe import describe_config
from kerascli.config.load import open_recorded
from kerascli.data.base import Field, FittedState, Inverse
from kerascli.data.batches.loader import BatchSource
from kerascli.data.batches.rows import Split
from kerascli.data.pipeline.learned_state import known_columns, load_learned
from kerascli.data.pipeline.prepare import Stages, no_stages, stages
from kerascli.data.section import DataSpec
from kerascli.foundation.device import choose_device, prepare_cpu, use_threads
from kerascli.foundation.errors import ConfigError, Fault, FileRefused, ProcessLost, safe_text, suggestion
from kerascli.foundation.interrupts import deferred
from kerascli.metrics.comparisons import OutputTarget
from kerascli.model.ir.nodes import Model, View
from kerascli.model.runtime.weights import lasting
from kerascli.runs.annotations import CHOOSE, THRESHOLDS, KeptThreshold, kept_thresholds
from kerascli.runs.reading import quoted
from kerascli.runs.record import RunRecord
from kerascli.training.build import Experiment, build_experiment
from kerascli.training.checkpoint import checkpoint_facts, saved_weights
from kerascli.training.checkpoint_files import training_tensors
from kerascli.training.classes import ClassReading, class_reading, is_classification_loss
from kerascli.training.evaluate import EvaluatedBatches
from kerascli.training.step import assign_weights, nonfinite
from kerascli.training.strategies.base import Strategy
from kerascli.training.strategies.checks import fsdp_faults
from kerascli.training.strategies.fsdp import strategy_of
from kerascli.training.strategies.group import Group
from kerascli.training.strategies.members import checked_members, own_device
from kerascli.training.tensor_file import mapped_tensors


@dataclass(slots=True)
class LoadedRun:
    record: RunRecord
    config: Config
    experiment: Experiment
    stages: Stages
    data: DataSpec | None
    """Section `data` of the run's config; None for an imported run, which takes arrays without preprocessing."""
    learned: dict[str, FittedState]
    takes_arrays: bool = False
    """True if the run takes arrays as inputs, since its model has inputs that the `data` section does not provide."""
    strategy: Strategy = field(default_factory=Strategy)
    """Strategy by which processes share the batches in evaluation and prediction."""
    weights_digest: str = ""
    """Digest (SHA-256) of the weights; empty on one process, unless they are a checkpoint's, or the run has or gets a
    threshold.json."""
    thresholds: dict[str, KeptThreshold | float | None] = field(default_factory=dict)
    """Mapping from output to its decision threshold: that in the run's threshold.json, or one from a command's option
    in its place; None: the more probable class is predicted."""
    warnings: list[Fault] = field(default_factory=list)
    """Warnings about the run's files, to be printed; the runs that the method `view` returns share this list."""

    @property
    def has_own_inputs(self) -> bool:
        """True if the model has inputs that the `data` section does not provide, such as a generator's noise.

        Rows to predict are then read from arrays, without preprocessing.
        """
        return self.data is not None and any(i.name not in self.data.inputs for i in self.experiment.spec.model.inputs)

    @property
    def row_data(self) -> DataSpec | None:
        """Section `data` of the run's config if the model takes its rows; None if the model takes arrays of its own."""
        return None if self.takes_arrays or self.has_own_inputs else self.data

    @property
    def raw_fields(self) -> dict[str, Field]:
        """Mapping from raw column of the training data to its field (shape, classes ...); empty without `data`."""
        return {} if self.data is None else known_columns(self.learned)

    def view(self, name: str) -> "LoadedRun":
        """Return the run with its view `name` (a submodel that shares the layers) in place of its model.

        Raises ConfigError if the model has no such view.
        """
        view = view_of(self.experiment.spec.model, name)
        run = replace(self, experiment=self.experiment.view(name))
        return replace(run, takes_arrays=self.takes_arrays or view.own_inputs or run.has_own_inputs)

    def label_thresholds(self) -> dict[str, KeptThreshold]:
        """Return a mapping from output to the decision threshold by which its rows are labelled, from threshold.json.

        Outputs whose threshold an option of the command replaces are left out. Raises FileRefused if a threshold was
        chosen with other weights.
        """
        outputs = self.experiment.spec.model.outputs
        kept = {name: each for name in outputs if isinstance(each := self.thresholds.get(name), KeptThreshold)}
        for name in (name for name, each in kept.items() if each.weights_sha256 != self.weights_digest):
            text = f"{quoted(self.record.path / THRESHOLDS)}: the threshold of '{safe_text(name)}' is of other weights"
            raise FileRefused(text, hint=f"choose it again ({CHOOSE}), or remove the file; predict takes --threshold P")
        return kept

    def threshold_notes(self) -> list[str]:
        """Return a text to print for each decision threshold in threshold.json that labels an output's rows.

        Raises FileRefused if a threshold was chosen with other weights.
        """
        kept = self.label_thresholds()
        return [f"{safe_text(name)}: {each}" if len(kept) > 1 else str(each) for name, each in kept.items()]

    def reading(self, pair: OutputTarget, output: Tensor | None = None) -> ClassReading | None:
        """Return how the model output of a pair is read as classes, with its threshold; None if it predicts no classes.

        `output` are values of the output, of shape (rows, units), of which the number of units may be unknown before;
        None: that of the model's shapes. Raises FileRefused if the threshold in threshold.json was chosen with other
        weights.
        """
        if output is None:
            output = torch.empty(0, *(size or 0 for size in self.experiment.spec.built.specs[pair.output].shape))
        reading = class_reading(output, self.stages.facts.targets.get(pair.target), pair.loss)
        if reading is None or len(reading.names) != 2:
            return reading
        chosen = self.label_thresholds().get(pair.output) or self.thresholds.get(pair.output)
        return replace(reading, threshold=chosen.threshold if isinstance(chosen, KeptThreshold) else chosen)

    def inverse(self, pair: OutputTarget) -> Inverse | None:
        """Return the function that converts a model output to its target's units (undoes normalization ...), or None.

        `pair` names the output and its target. None is returned if the output has no such units: it predicts classes,
        the preprocessing cannot be inverted, or the output has not the shape of its target (such as the parameters of a
        distribution).
        """
        undo = self.stages.inverses.get(pair.target)
        if undo is None or pair.loss is None or is_classification_loss(pair.loss):
            return None
        shape = [size for size in self.stages.facts.targets[pair.target].shape if size is not None]
        if math.prod(shape) != math.prod(size or 0 for size in self.experiment.spec.built.specs[pair.output].shape):
            return None
        return lambda values: undo(values.reshape(len(values), *shape)).reshape(values.shape)

    @property
    def binary_outputs(self) -> list[str]:
        """Names of the outputs that predict one of two classes. Raises FileRefused as `reading`."""
        pairs = self.experiment.spec.pairs
        return [pair.output for pair in pairs if (reading := self.reading(pair)) and len(reading.names) == 2]

    def shared_batches(self, source: BatchSource) -> EvaluatedBatches:
        """Return those batches of a source that this process evaluates or predicts: all, if it is the only process."""
        return self.strategy.evaluated(source, ends_on_signal=True)

    @contextmanager
    def sharing(self, rows: Split) -> Iterator[None]:
        """Context manager in which several processes share the batches of `rows`; with one process, it does nothing.

        A signal ends the work after the batches that are in work. Raises ConfigError if the processes have different
        runs or rows, or if a batch depends on the one before it.
        """
        if self.strategy.is_alone:
            yield
            return
        for node in self.experiment.spec.built.model.nodes:
            if node.layer.keeps_states():
                text = f"'{node.name}' is stateful: row i of a batch continues row i of the one before"
                hint = "leave out --processes, and start it without a launcher"
                raise ConfigError(f"{text}, on one process only", hint=hint)
        group = self.strategy.group
        checked_members(group, self.record.resolved(), {"rows": rows_digest(rows)}, weights=self.weights_digest)
        with deferred() as signals:
            group.notices.signals = signals
            try:
                with group.guarded():
                    yield
            except ProcessLost:
                # It has left on a signal that all got, and says so. By SIGTERM launchers end the rest after a failure.
                if signals.number not in (None, signal.SIGTERM):
                    raise SystemExit(128 + signals.number) from None
                raise


def view_of(model: Model, name: str) -> View:
    """Return the view `name` of a model (a submodel that shares its layers).

    Raises ConfigError if the model has no such view.
    """
    if name not in model.views:
        hint = f"it has {', '.join(model.views)}" if model.views else "views are defined under model.views"
        text = f"--view: the model has no view '{safe_text(name)}'{suggestion(name, model.views)}"
        raise ConfigError(text, hint=hint)
    return model.views[name]


def open_run(
    record: RunRecord,
    *,
    device: str = "auto",
    threads: int | None = None,
    checkpoint: str | None = None,
    progress: Progress | None = None,
    data: Path | None = None,
    group: Group | None = None,
    whole: bool = False,
    keeps_threshold: bool = False,
) -> LoadedRun:
    """Load a trained run: build its model, and load the final weights or those of the checkpoint named `checkpoint`.

    If training was cut off, the weights are those of the newest checkpoint, with a warning. `progress` is called during
    downloads with (name, bytes so far, total bytes). `data` is the place of the run's data, if it has moved. The
    processes of `group` must load the same run, to share its work; each holds a part of the weights if the config
    divides them (`distribute: fsdp`), unless `whole` is true. With `keeps_threshold`, the digest of the weights is
    computed, to be written to threshold.json with a threshold.
    """
    group = group or Group()
    prepare_cpu()
    use_threads(threads, share=group.world.local_size)
    config = open_recorded(record, progress=progress).with_data(data)
    learned = load_learned(record.preprocessing()) if config.data is not None else {}
    prepared_stages = stages(config.data, learned) if config.data is not None else no_stages()
    chosen = torch.device(own_device(choose_device(device), group).value)
    spec = describe_config(config, prepared_stages.facts)
    weights, warnings = _weights(record, checkpoint)  # before there are others, since the file's bytes are as large
    distribute = spec.fit.distribute
    if whole or spec.training is None or any(fsdp_faults(spec, group.world.size)):
        distribute = None  # a run whose settings FSDP refuses was trained on one process
    strategy = strategy_of(group, distribute)
    divide = strategy.divider(chosen)
    # the files of initializers need not be there any more
    experiment = build_experiment(spec, prepared_stages, device=chosen, divide=divide, initialize=divide is not None)
    states = {weight.name for weight in experiment.weights if weight.spec.is_state}
    values = {name: value for name, value in weights.items() if name not in states}
    assign_weights(lasting(experiment.weights), values)
    run = LoadedRun(record, config, experiment, prepared_stages, config.data, learned, config.data is None, strategy)
    run.thresholds = {**kept_thresholds(record.path)}
    if run.thresholds or any((keeps_threshold, checkpoint, not strategy.is_alone)):
        run.weights_digest = _digest(values)
    run.warnings += [Fault(text, level="warning") for text in warnings] + _nonfinite_weights(values)
    return run


def _nonfinite_weights(values: Mapping[str, Tensor]) -> list[Fault]:
    """Return a warning if a weight is NaN or infinite."""
    if (bad := nonfinite(values)) is None:
        return []
    text = f"the weight '{safe_text(bad)}' is nan or infinite: nothing computed with it can be relied on"
    return [Fault(text, level="warning", hint="train again, or use an earlier checkpoint: --checkpoint NAME")]


def rows_digest(rows: Split) -> str:
    """Return a digest (SHA-256) of the number of rows, and of the first and the last row."""
    ends = (rows.read(part) for part in (slice(0, 1), slice(rows.rows - 1, rows.rows)))
    values = (each.tobytes() for end in ends for section in end.sections() for each in section.values())
    return sha256(b"".join([str(rows.rows).encode(), *values])).hexdigest()


def _digest(values: Mapping[str, Tensor]) -> str:
    digest = sha256()
    for name in sorted(values):
        digest.update(values[name].contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _weights(record: RunRecord, checkpoint: str | None) -> tuple[dict[str, Tensor], list[str]]:
    """Return (a run's weights by name, warnings); if training was cut off, the weights are those of a checkpoint."""
    warnings: list[str] = []
    try:
        if checkpoint is not None:
            source = record.checkpoints.named(checkpoint)
        elif record.was_cut_off:
            source, status = record.checkpoints.newest(), record.status()
            state = checkpoint_facts(source.facts)
            within = f"step {state.batch} of epoch {state.epoch + 1}" if state.batch else f"epoch {state.epoch}"
            text = f"the training of '{safe_text(str(record.path))}' is not finished ({status})"
            warnings = [*source.warnings, f"{text}: these are the weights of its last checkpoint, after {within}"]
        else:
            with record.weights_file() as file:
                return mapped_tensors(file), warnings
        tensors = training_tensors(source.blobs)
    except SafetensorError as error:
        raise FileRefused(f"the weights of '{record.path}' are damaged: {error}") from None
    return saved_weights(tensors), warnings
