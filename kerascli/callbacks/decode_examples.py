"""DecodeExamples: held-out sequences in words: what was asked, what is right, what the model says."""

from kerascli.callbacks.base import callback
from kerascli.callbacks.samples import ModelFacts, Studio, Text, WithOutput
from kerascli.shapes import PositiveInt


@callback()
class DecodeExamples(WithOutput):
    """Held-out rows as text: the inputs, the truth, and the model's output with a mark where it is wrong."""

    count: PositiveInt = 10
    """How many rows."""

    def misfit(self, model: ModelFacts) -> tuple[str, str] | None:
        found = super().misfit(model)
        if found is not None:
            return found
        if not model.reads_data:
            return "view", "a view with inputs of its own is given no rows of the data"
        shape = self.chosen(model.outputs).shape
        if len(shape) not in (1, 2):
            return "output", "needs an output with a probability for each word: (words,) or (steps, words)"
        return None

    def sample(self, studio: Studio) -> Text:
        rows = studio.rows(self.count)
        names = studio.facts(self.view).inputs
        outputs = studio.run(self.view, {name: rows.inputs[name] for name in names})
        name = self.output or next(iter(outputs))
        target = name if name in rows.targets else next(iter(rows.targets))
        numbers = outputs[name].argmax(-1).numpy()
        lines, right = [], 0
        for row in range(rows.rows):
            for given in names:
                asked = studio.text(given, rows.inputs[given][row].cpu().numpy())
                lines += [] if asked is None else [f"{given}: {_shown(asked)}"]
            truth = studio.text(target, rows.targets[target][row])
            said = studio.text(target, numbers[row])
            right += said == truth
            wrong = "" if said == truth else "   (wrong)"
            lines += [f"  truth: {_shown(truth)}", f"  model: {_shown(said)}{wrong}", ""]
        return Text("\n".join([*lines, f"{right} of {rows.rows} right", ""]))


def _shown(text: str | None) -> str:
    """On one line."""
    return (text or "").replace("\n", "\\n")
