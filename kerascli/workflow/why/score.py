"""The number of each row whose reasons are asked for: the model's output for a class, or the value it predicts."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from kerascli.data.batches.loader import BatchSource
from kerascli.data.batches.rows import MemorySplit
from kerascli.foundation import draws
from kerascli.foundation.errors import ConfigError, safe_text, suggestion
from kerascli.report.tables import number_text
from kerascli.training.classes import ClassReading
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.predict import outputs_of

_ROWS = 32
"""Number of rows that are explained at once."""


@dataclass(frozen=True, slots=True)
class Score:
    """Function from outputs to a number a row: the output for the row's class (probability or logit), or the output's
    mean over its units."""

    run: LoadedRun
    rows: MemorySplit
    output: str
    texts: tuple[str, ...]
    """Prediction of each row, as it is shown."""
    classes: Tensor
    """Index of the class of each row (rows, 1), on the CPU; not used for an output of numbers."""
    reading: ClassReading | None = None

    def __call__(self, outputs: Mapping[str, Tensor], *, log_odds: bool = False) -> Tensor:  # (N, units) -> (N,)
        """Return the scores of rows; `log_odds` of probabilities, whose gradient vanishes as they approach 1."""
        values = outputs[self.output].float().reshape(len(self.classes), -1)
        if self.reading is None:
            return values.mean(1)
        classes, tiny = self.classes.to(values.device), torch.finfo(values.dtype).tiny
        if self.reading.from_logits:
            values = torch.cat([-values, values], 1) if self.reading.binary else values
            return values.gather(1, classes)[:, 0]
        probabilities = self.reading.probabilities(values)
        own = probabilities.gather(1, classes)[:, 0]
        # the sum of the others, as 1 - 0.99999999 is 0 in float32
        others = probabilities.scatter(1, classes, 0.0).sum(1)
        return own.clamp(min=tiny).log() - others.clamp(min=tiny).log() if log_odds else own

    def outputs(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the model's outputs for preprocessed inputs; one that samples always draws the same numbers."""
        with draws.using(draws.Draws(self.run.experiment.spec.seed, "why", 0)):
            return self.run.experiment.module.run(inputs).outputs

    def of(self, rows: Any) -> "Score":
        """Return the score for the classes of selected rows: a slice, or an array of numbers of rows."""
        return replace(self, classes=self.classes[rows])

    def parts(self, rows: MemorySplit | None = None) -> Iterator[tuple[dict[str, Tensor], "Score"]]:
        """Yield, for one batch of rows after the other, (preprocessed inputs, score of these rows).

        Inputs that are not integers are float tensors. `rows` replaces the rows of this score.
        """
        module, device = self.run.experiment.module.eval(), self.run.experiment.device
        names = [each.name for each in module.graph.model.inputs if not each.spec.is_integer]
        for number, batch in enumerate(BatchSource(rows or self.rows, _ROWS, device).epoch(0)):
            inputs = module.input_stage(dict(batch.inputs))
            floats = {name: inputs[name].float() for name in names}
            yield {**inputs, **floats}, self.of(slice(number * _ROWS, (number + 1) * _ROWS))


def score_of(run: LoadedRun, rows: MemorySplit, output: str | None, class_name: str | None) -> Score:
    """Return the Score of an output: for each row that of the class `class_name`, or of the row's predicted class.

    An output that predicts no classes is its own score. `output` may be None if the model has one. Raises ConfigError
    for an output or class that there is not, or an output with several values along other axes than the last.
    """
    outputs = outputs_of(run, rows)
    if output is None and len(outputs) > 1:
        raise ConfigError(f"--output is missing: the model has {len(outputs)} outputs: {', '.join(outputs)}")
    name = must_have("--output", output or next(iter(outputs)), outputs, "output")
    values = outputs[name]
    if values.dim() > 2:
        raise ConfigError(f"the output '{name}' has values at several places of a row; reasons are of one value a row")
    pair = next((pair for pair in run.experiment.spec.pairs if pair.output == name), None)
    reading = None if pair is None else run.reading(pair, values)
    if reading is None:
        if class_name is not None:
            raise ConfigError(f"--class: the output '{name}' predicts no classes")
        texts = map(number_text, values.reshape(len(values), -1).mean(1).tolist())
        return Score(run, rows, name, tuple(texts), torch.zeros(len(values), 1))
    probabilities = reading.probabilities(values)
    classes = reading.labels(probabilities)[:, None]
    if class_name is not None:
        must_have("--class", class_name, reading.names, "class")
        classes = torch.full_like(classes, reading.names.index(class_name))
    chosen = zip(classes[:, 0].tolist(), probabilities.gather(1, classes)[:, 0].tolist(), strict=True)
    texts = (f"{reading.names[number]} {value:.3f}" for number, value in chosen)
    return Score(run, rows, name, tuple(texts), classes, reading)


def must_have(option: str, name: str, names: Collection[str], noun: str) -> str:
    """Return the name that an option chooses. Raises ConfigError if it is none of `names`."""
    if name not in names:
        text = f"{option}: '{safe_text(name)}' is no {noun}{suggestion(name, names)}"
        raise ConfigError(text, hint=f"one of {', '.join([*names][:20])}" if names else None)
    return name
