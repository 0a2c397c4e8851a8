"""RunSpec, the parsed config of a training run, complete and immutable."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from kerascli.config.sections.compile import CompileSpec
from kerascli.config.sections.fit import FitSpec
from kerascli.config.sections.init_from import INIT_FROM, InitFrom, base_path
from kerascli.config.sections.train_step import TrainStepSpec
from kerascli.data.base import Field
from kerascli.data.initializers import FromFile
from kerascli.data.section import DataSpec
from kerascli.foundation.errors import Path
from kerascli.foundation.shapes import TensorSpec
from kerascli.losses.base import Loss
from kerascli.metrics.base import Metric
from kerascli.metrics.comparisons import OutputTarget
from kerascli.model.ir.nodes import Call, Model
from kerascli.model.runtime.built import Built
from kerascli.model.runtime.graph import Graph


@dataclass(frozen=True, slots=True)
class RunSpec:
    """Parsed config of a training run: all sections, and the model's modules on the meta device (`built`)."""

    name: str
    seed: int
    data: DataSpec | None
    model: Model
    built: Built
    compile: CompileSpec | None
    fit: FitSpec
    train_step: TrainStepSpec | None = None
    """The `fit.train_step` section, in place of the optimizer and losses of `compile`."""
    init_from: InitFrom | None = None
    """The `model.init_from` section, pretrained weights to initialize the model with."""
    bases: Mapping[str, InitFrom] = field(default_factory=dict)
    """Mapping from shared model to its `init_from` section, pretrained weights to initialize it with."""
    inputs: Mapping[str, Field] = field(default_factory=dict, compare=False)
    """Fields (shape, dtype, classes) of the data's inputs by name, for which the config was parsed."""
    targets: Mapping[str, Field] | None = field(default=None, compare=False)
    """Fields (shape, dtype, classes) of the data's targets by name, for which the config was parsed; None: they are
    unknown."""
    unknown: tuple[str, ...] = field(default=(), compare=False)
    """References to the data (`$inputs.x.shape`), with their positions in the config, that have no value because the
    data was not read."""

    @property
    def training(self) -> CompileSpec | TrainStepSpec | None:
        """Section with optimizers, losses and metrics: `train_step`, else `compile`; None without training."""
        return self.compile if self.train_step is None else self.train_step

    @property
    def weight_sources(self) -> dict[Path, InitFrom]:
        """Mapping from config path to section `init_from`: those of shared models, then that of the model."""
        whole = {} if self.init_from is None else {INIT_FROM: self.init_from}
        return {base_path(name): each for name, each in self.bases.items()} | whole

    @property
    def pairs(self) -> tuple[OutputTarget, ...]:
        """Pairs of a model output and the target that `compile` compares it with; () without `compile`."""
        return self.compile.pairs if self.compile is not None else ()

    @property
    def graphs(self) -> list[Built]:
        """Graphs of the model and of each forward pass of a `fit.train_step`, with their modules."""
        return [self.built, *(each.built for each in (self.train_step.passes if self.train_step is not None else ()))]

    @property
    def initial_files(self) -> list[FilePath]:
        """Files that initializers of the model's weights read."""
        initializers = (weight.spec.initializer for built in self.graphs for weight in Graph(built).weights())
        return list(dict.fromkeys(FilePath(each.path) for each in initializers if isinstance(each, FromFile)))

    def layer_count(self) -> int:
        """Return the number of layers of the model, including those that only `fit.train_step` calls."""
        _, *passes = self.graphs
        calls = [entry for each in passes for entry in each.model.entries if isinstance(entry, Call)]
        more = {node.weights_name for call in calls for node in call.nodes}
        return len(self.model.nodes) + len(more - {node.weights_name for node in self.model.nodes})

    def compared(self) -> Iterator[tuple[str, Loss | Metric, TensorSpec]]:
        """Yield (target, loss or metric, shape and dtype of the output) for all losses and metrics on targets."""
        for pair in self.pairs:
            for component in (pair.loss, *(use.metric for use in pair.metrics)):
                if component is not None:
                    yield pair.target, component, self.built.specs[pair.output]
        for each in self.train_step.passes if self.train_step is not None else ():
            for update in each.updates:
                pairs = [*((t.loss, t.of) for t in update.terms), *((m.metric, m.of) for m in update.metrics)]
                for component, of in pairs:
                    if component is not None and of is not None and of.is_target:
                        yield str(of.y_true), component, each.built.specs[of.y_pred]

    def log_names(self) -> dict[str, Any]:
        """Return a mapping from each value that an epoch logs (`loss`, `val_loss` ...) to its better direction.

        The direction is `min` or `max`.
        """
        assert self.training is not None
        names = self.training.log_names()
        return names | ({f"val_{name}": way for name, way in names.items()} if self.fit.validates() else {})

    def several(self) -> dict[str, tuple[str, ...]]:
        """Return a mapping from each metric that has several values to the names of its columns in history.csv."""
        assert self.training is not None
        names = self.training.several()
        validated = {f"val_{name}": tuple(f"val_{each}" for each in columns) for name, columns in names.items()}
        return names | (validated if self.fit.validates() else {})
