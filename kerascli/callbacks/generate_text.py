"""GenerateText: what a language model writes, at several temperatures."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from kerascli.callbacks.base import callback
from kerascli.callbacks.samples import ModelFacts, Sampler, Studio, Text
from kerascli.shapes import PositiveFloat, PositiveInt

Temperatures = Annotated[
    tuple[PositiveFloat, ...],
    Field(min_length=1),
    BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else (v,) if isinstance(v, (int, float)) else v),
]


@callback()
class GenerateText(Sampler):
    """Text that the model writes after a beginning, at each of several temperatures."""

    seed_text: str | None = None
    """How it begins; null: with a text of the data."""
    length: PositiveInt = 400
    """How many characters or words are written."""
    temperatures: Temperatures = (0.2, 0.5, 1.0, 1.2)
    """Low: the likely; 1: as the model has it; high: the daring."""

    def misfit(self, model: ModelFacts) -> tuple[str, str] | None:
        if model.decodes is not None:
            return "view", "needs a language model; what a decoder writes is shown by decode_examples"
        if len(model.inputs) != 1 or not set(model.inputs) & set(model.texts):
            return "view", "needs a model whose one input is text, split by text_vectorization"
        return None

    def sample(self, studio: Studio) -> Text:
        parts = []
        for temperature in self.temperatures:
            text = studio.continued(self.view, self.seed_text, self.length, temperature, self.seed)
            parts.append(f"--- temperature {temperature:g}\n{text}\n")
        return Text("\n".join(parts))
