"""DecodeExamples: callback that writes input, target and prediction of data rows as text."""

from typing import NamedTuple

import numpy as np

from kerascli.callbacks.base import callback
from kerascli.callbacks.samples import Mismatch, ModelFacts, Rows, SampleContext, ShowsRows
from kerascli.foundation.shapes import PositiveInt


@callback()
class DecodeExamples(ShowsRows):
    """Write data rows as text: inputs, target and the model's prediction, which is marked if it is wrong.

    A decoder gets its own previous output tokens as input, not the target's (no teacher forcing).
    """

    count: PositiveInt = 10
    """Number of data rows to write as text."""

    def mismatch(self, model: ModelFacts) -> Mismatch | None:
        if fault := super().mismatch(model):
            return fault
        shape = self.chosen(model.outputs).shape
        if len(shape) not in (1, 2):
            return "output", "needs an output with one probability per token: (tokens,) or (steps, tokens)"
        if self._target(model) not in model.texts:
            return "output", "needs a text target, made by text_vectorization or string_lookup"
        return None

    def _target(self, model: ModelFacts) -> str | None:
        """Return the name of the target in the data with which the model's output is compared."""
        if model.decodes is not None:
            return model.decodes[1]
        name = self.chosen_name(model.outputs)
        return name if name in model.targets else next(iter(model.targets), None)

    def sample(self, context: SampleContext) -> str:
        rows = context.rows(self.count, self.split)
        facts = context.facts(self.view)
        target = self._target(facts)
        assert target is not None
        if facts.decodes is not None:
            predicted = context.decoded(self.view, {name: rows.inputs[name] for name in facts.inputs})
        else:
            predicted = self.chosen(self.outputs_for(context, rows.inputs)).argmax(-1).numpy()
        decoded = examples(context, self.view, rows, target, predicted)
        lines = [line for example in decoded for line in [*example.lines(), ""]]
        return "\n".join([*lines, f"{sum(example.right for example in decoded)} of {rows.rows} right", ""])


class Example(NamedTuple):
    """A data row as text, for display: its inputs, its target and the model's prediction."""

    inputs: dict[str, str]
    """Mapping from the name of each text input of the data row to its text."""
    truth: str
    predicted: str

    @property
    def right(self) -> bool:
        return self.predicted == self.truth

    def lines(self) -> list[str]:
        inputs = [f"{name}: {_shown(text)}" for name, text in self.inputs.items()]
        wrong = "" if self.right else "   (wrong)"
        return [*inputs, f"  truth: {_shown(self.truth)}", f"  model: {_shown(self.predicted)}{wrong}"]


def examples(context: SampleContext, view: str | None, rows: Rows, target: str, predicted: np.ndarray) -> list[Example]:
    """Return data rows as texts (`Example`s): the inputs, the target named `target`, and the text of the token ids
    `predicted`."""
    facts = context.facts(view)
    names = [name for name in facts.inputs if facts.decodes is None or name != facts.decodes[0]]
    decoded = []
    for row in range(rows.rows):
        texts = {name: context.text(name, rows.inputs[name][row].cpu().numpy()) for name in names}
        inputs = {name: text for name, text in texts.items() if text is not None}
        truth = context.text(target, rows.targets[target][row])
        decoded.append(Example(inputs, truth or "", context.text(target, predicted[row]) or ""))
    return decoded


def _shown(text: str) -> str:
    """Return a text on one line to display, with newlines escaped."""
    return text.replace("\n", "\\n")
