"""Access to a model, its data and text codecs for callbacks that generate samples, with separate random numbers."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from kerascli.callbacks.samples import ModelFacts, Rows
from kerascli.config.cross_checks import models_of
from kerascli.data.base import Field, States
from kerascli.data.batches.rows import Split
from kerascli.data.pipeline.display_columns import DisplayColumn
from kerascli.data.text_codec import TextCodec, text_codecs
from kerascli.foundation import draws
from kerascli.foundation.errors import ConfigError
from kerascli.training.build import Experiment
from kerascli.training.generation.generate import Sampling, TextModel, generate_words
from kerascli.workflow.generation.decoding import MOST_WORDS, decode

_ROWS_AT_ONCE = 256
_HELD_OUT = ("validation", "test", "train")
"""Names of the splits from which rows for samples and prompts are taken, in order of preference."""


class ModelStudio:
    """Implementation of the protocol by which callbacks that generate samples use the model and its data."""

    def __init__(
        self,
        experiment: Experiment,
        splits: Mapping[str, Split],
        learned: States,
        targets: Mapping[str, Field],
        aside: Mapping[str, Mapping[str, DisplayColumn]],
    ) -> None:
        self.experiment = experiment
        self.learned = learned
        self._splits = splits
        self._targets = targets
        self._aside = aside
        self._views: dict[str, Experiment] = {}
        self._facts = models_of(experiment.spec)
        data = experiment.spec.data
        self.inputs: dict[str, TextCodec] = {} if data is None else text_codecs(data, learned, "inputs")
        self.outputs: dict[str, TextCodec] = {} if data is None else text_codecs(data, learned, "targets")

    def facts(self, view: str | None) -> ModelFacts:
        return self._facts[view]

    def noise(self, shape: Sequence[int], kind: Literal["normal", "uniform"], seed: int) -> Tensor:
        with draws.using(draws.Draws(self.experiment.spec.seed, f"samples/{seed}", 0)):
            like = torch.empty(tuple(shape))
            return draws.normal(like) if kind == "normal" else draws.uniform(like, -1.0, 1.0)

    def run(self, view: str | None, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        experiment = self._of(view)
        update, device = experiment.module, experiment.device
        if update.states():
            raise ConfigError("a stateful model cannot make samples: it takes only full batches")
        count = len(next(iter(inputs.values())))
        found: dict[str, list[Tensor]] = {}
        was_training = update.training
        update.eval()
        try:
            for first in range(0, count, _ROWS_AT_ONCE):
                part = {name: x[first : first + _ROWS_AT_ONCE].to(device) for name, x in inputs.items()}
                with torch.inference_mode(), draws.using(draws.Draws(experiment.spec.seed, "samples", first)):
                    outcome = update.run(part)
                for name, value in outcome.outputs.items():
                    found.setdefault(name, []).append(value.cpu())
        finally:
            update.train(was_training)
        return {name: torch.cat(parts).float() for name, parts in found.items()}

    def rows(self, count: int, split: str | None = None, seed: int | None = None) -> Rows:
        """Return `count` rows of a split: the first ones or, with `seed`, those from a position that `seed`
        determines."""
        name = next((name for name in (_HELD_OUT if split is None else (split,)) if name in self._splits), None)
        if name is None:
            raise ConfigError("there are no rows to show: the run's data is not available")
        every = self._splits[name]
        count = min(count, every.rows)
        first = 0 if seed is None else draws.key_seed(f"prompt/{seed}") % (every.rows - count + 1)
        part = every.read(slice(first, first + count))
        given = {n: torch.from_numpy(np.array(values)) for n, values in part.inputs.items()}
        shown = self._aside.get(name, {}) if first == 0 else {}
        aside = {column: each.first(part.rows) for column, each in shown.items()}
        return Rows(name, self.staged(given), part.targets, aside, part.rows)

    def staged(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Apply the batch-wise preprocessing (rescaling ...) to model inputs; return a mapping from name to input."""
        stage, device = self.experiment.module.input_stage, self.experiment.device
        was_training = stage.training
        stage.eval()
        try:
            with torch.inference_mode(), draws.using(draws.Draws(self.experiment.spec.seed, "samples/rows", 0)):
                return stage({name: x.to(device) for name, x in given.items()})
        finally:
            stage.train(was_training)

    def text(self, name: str, numbers: np.ndarray) -> str | None:
        codec = self.outputs.get(name) or self.inputs.get(name)
        return None if codec is None else codec.text(numbers)

    def words(self, name: str, numbers: np.ndarray) -> list[str]:
        return (self.outputs.get(name) or self.inputs[name]).each(numbers)

    def class_names(self, target: str) -> Sequence[str]:
        field = self._targets.get(target)
        return () if field is None or field.classes is None else field.classes

    def decoded(self, view: str | None, inputs: Mapping[str, Tensor]) -> np.ndarray:
        return decode(self, view, inputs, MOST_WORDS, Sampling(0.0))

    def continued(self, view: str | None, prompt: str | None, length: int, temperature: float, seed: int) -> str:
        model, numbers, prompt = self.writing(view, prompt, seed)
        words = list(generate_words(model, numbers, length, Sampling(temperature, seed=seed)))
        return model.writes.joint.join([prompt, *words])

    def writing(self, view: str | None, prompt: str | None, seed: int) -> tuple[TextModel, list[int], str]:
        """Return a language model, and a prompt (default: a text of the data) as token ids and as text."""
        model = self._text_model(view)
        if prompt is None:
            prompt = self._any_text(view, seed)
        numbers = model.reads.numbers(prompt, model.window)
        if not numbers:
            raise ConfigError("the prompt has no words", hint="give the beginning of a text")
        return model, numbers, prompt

    def _any_text(self, view: str | None, seed: int) -> str:
        (name,) = self.facts(view).inputs
        split = next((self._splits[n] for n in _HELD_OUT if n in self._splits), None)
        if split is None:
            raise ConfigError("no prompt is given, and the run's data is not available", hint="give one: --prompt TEXT")
        row = draws.key_seed(f"prompt/{seed}") % split.rows
        return self.inputs[name].text(split.read(slice(row, row + 1)).inputs[name][0])

    def _text_model(self, view: str | None) -> TextModel:
        facts = self.facts(view)
        reads = [self.inputs[name] for name in facts.inputs if name in self.inputs]
        if len(facts.inputs) != 1 or not reads or reads[0].vectorization is None or not self.outputs:
            raise ConfigError("the model cannot generate text: it needs one input and a target that are text",
                              hint="tokenize them with text_vectorization; a decoder also has an input that is its "
                                   "target, shifted by one step")  # fmt: skip
        (name,) = facts.inputs
        output, (spec, *_) = next(iter(facts.outputs)), facts.outputs.values()
        writes = self.outputs.get(output) or next(iter(self.outputs.values()))
        window = facts.inputs[name].shape[0]
        if spec.rank not in (1, 2) or spec.shape[-1] is None or spec.shape[-1] < len(writes.words) or window is None:
            raise ConfigError(f"the model cannot generate text: '{output}' {spec} is not a probability for each of "
                              f"{len(writes.words)} words")  # fmt: skip

        def predict(numbers: Tensor) -> Tensor:
            return self.run(view, self.staged({name: numbers}))[output]

        return TextModel(predict, window, reads[0], writes)

    def _of(self, view: str | None) -> Experiment:
        if view is None:
            return self.experiment
        if view not in self._views:
            self._views[view] = self.experiment.view(view)
        return self._views[view]
