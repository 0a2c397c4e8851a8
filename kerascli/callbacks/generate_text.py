"""GenerateText: text samples of a language model at several temperatures."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from kerascli.callbacks.base import callback
from kerascli.callbacks.samples import Mismatch, ModelFacts, SampleContext, Sampler
from kerascli.foundation.shapes import PositiveFloat, PositiveInt

Temperatures = Annotated[
    tuple[PositiveFloat, ...],
    Field(min_length=1),
    BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else (v,) if isinstance(v, (int, float)) else v),
]


@callback()
class GenerateText(Sampler):
    """Write text that the language model generates from a prompt, at each of several sampling temperatures."""

    seed_text: str | None = None
    """Prompt that the model continues; null: a text of the data."""
    length: PositiveInt = 400
    """Number of tokens (characters or words) to generate."""
    temperatures: Temperatures = (0.2, 0.5, 1.0, 1.2)
    """Sampling temperatures: divisors of the logits before sampling; 1 samples from the model's probabilities.

    Below 1 likely tokens become likelier, above 1 less likely.
    """

    def mismatch(self, model: ModelFacts) -> Mismatch | None:
        if model.decodes is not None:
            return "view", "needs a language model; use decode_examples for a decoder"
        if len(model.inputs) != 1 or not set(model.inputs) & set(model.texts):
            return "view", "needs a model with a single text input, made by text_vectorization"
        return None

    def sample(self, context: SampleContext) -> str:
        parts = []
        for temperature in self.temperatures:
            text = context.continued(self.view, self.seed_text, self.length, temperature, self.seed)
            parts.append(f"--- temperature {temperature:g}\n{text}\n")
        return "\n".join(parts)
