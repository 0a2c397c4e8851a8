"""The number of each row whose reasons are asked for: the model's output for a class, or the value it predicts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kerascli.foundation.errors import ConfigError, safe_text, suggestion
from kerascli.training.classes import ClassReading
from kerascli.workflow.loaded import LoadedRun


@dataclass(frozen=True, slots=True)
class Score:
    """Function from outputs to a number a row: the output for the row's class (probability or logit), or the output's
    mean over its units."""

    output: str
    reading: ClassReading | None
    classes: Tensor | None
    """Index of the class of each row (rows,), on the CPU; None for an output of numbers."""
    texts: tuple[str, ...]
    """Prediction of each row, as it is shown."""

    def __call__(self, outputs: Mapping[str, Tensor], first: int = 0) -> Tensor:  # (N, units) -> (N,)
        """Return the scores of rows, of which `first` is the number of the first one."""
        values = outputs[self.output].float()
        if self.reading is None or self.classes is None:
            return values.reshape(len(values), -1).mean(1)
        classes = self.classes[first : first + len(values)].to(values.device)
        if not self.reading.binary:
            return values.gather(1, classes[:, None])[:, 0]
        positive = values.reshape(len(values))
        negative = -positive if self.reading.from_logits else 1 - positive
        return torch.where(classes == 1, positive, negative)

    def log_odds(self, outputs: Mapping[str, Tensor], first: int = 0) -> Tensor:  # (N, units) -> (N,)
        """Return the scores as log odds if they are probabilities, whose gradient vanishes as they approach 1."""
        scores = self(outputs, first)
        if self.reading is None or self.classes is None or self.reading.from_logits:
            return scores
        others = 1 - scores
        if not self.reading.binary:  # by their sum, as 1 - 0.99999999 is 0 in float32
            classes = self.classes[first : first + len(scores)].to(scores.device)
            others = outputs[self.output].float().scatter(1, classes[:, None], 0.0).sum(1)
        tiny = torch.finfo(scores.dtype).tiny
        return scores.clamp(min=tiny).log() - others.clamp(min=tiny).log()

    def of_row(self, row: int, count: int) -> "Score":
        """Return the score for the class of one row, of `count` rows that are made of it."""
        classes = None if self.classes is None else self.classes[row].expand(count)
        return replace(self, classes=classes, texts=())


def score_of(run: LoadedRun, outputs: Mapping[str, Tensor], output: str | None, class_name: str | None) -> Score:
    """Return the score of an output for the predicted class of each row, or for the class named `class_name`.

    `outputs` are the predictions of all rows. `output` may be None if the model has one output. Raises ConfigError.
    """
    if output is None and len(outputs) > 1:
        hint = f"one of {', '.join(outputs)}"
        raise ConfigError(f"--output is missing: the model has {len(outputs)} outputs", hint=hint)
    name = output if output is not None else next(iter(outputs))
    if name not in outputs:
        hint = f"it has {', '.join(outputs)}"
        text = f"--output: the model has no output '{safe_text(name)}'{suggestion(name, outputs)}"
        raise ConfigError(text, hint=hint)
    values = outputs[name]
    if values.dim() > 2:
        raise ConfigError(f"the output '{name}' has values at several places of a row; reasons are of one value a row")
    pair = next((pair for pair in run.experiment.spec.pairs if pair.output == name), None)
    reading = None if pair is None else run.reading(pair, values)
    if reading is None:
        if class_name is not None:
            raise ConfigError(f"--class: the output '{name}' predicts no classes")
        return Score(name, None, None, tuple(f"{value:.5g}" for value in values.reshape(len(values), -1).mean(1)))
    probabilities = reading.probabilities(values)
    classes = reading.labels(probabilities)
    if class_name is not None:
        if class_name not in reading.names:
            text = f"--class: there is no class '{safe_text(class_name)}'{suggestion(class_name, reading.names)}"
            raise ConfigError(text, hint=f"the classes are {', '.join(reading.names[:20])}")
        classes = torch.full_like(classes, reading.names.index(class_name))
    chosen = probabilities.gather(1, classes[:, None])[:, 0].tolist()
    texts = (f"{reading.names[number]} {value:.3f}" for number, value in zip(classes.tolist(), chosen, strict=True))
    return Score(name, reading, classes, tuple(texts))
