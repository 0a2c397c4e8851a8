"""Preprocess the text of the option `--prompt` into the inputs of a model that generates an answer to it."""

import numpy as np
import torch
from torch import Tensor

from kerascli.data.pipeline.prepare import fitted_preparer
from kerascli.data.storage.table import table_of
from kerascli.data.text_codec import TextCodec
from kerascli.foundation.errors import ConfigError, nearest, safe_text
from kerascli.workflow.generation import ModelContext


def prompt_inputs(context: ModelContext, view: str | None, prompt: str) -> dict[str, Tensor]:
    """Return the preprocessed inputs, by name, of a decoder that answers the text `prompt`. Raises ConfigError.

    `context` has the run's model and fitted preprocessing, `view` names a submodel to use.
    """
    facts, data = context.facts(view), context.experiment.spec.data
    assert data is not None
    assert facts.decodes is not None
    forced, _ = facts.decodes
    texts = [name for name in facts.inputs if name in context.inputs and name != forced]
    if len(texts) != 1 or len(facts.inputs) != 2 or context.inputs[texts[0]].vectorization is None:
        names = ", ".join(name for name in facts.inputs if name != forced)
        text = f"--prompt: the model's input is {names}, not a text alone"
        raise ConfigError(text, hint="without --prompt rows of the run's data are used")
    _check_prompt(prompt, texts[0], context.inputs[texts[0]], facts.inputs[texts[0]].shape[0])
    columns = dict.fromkeys(data.columns_of("inputs"), "")
    columns[data.inputs[texts[0]].columns[0]] = prompt
    table = table_of({name: np.array([text], dtype=object) for name, text in columns.items()}, "--prompt")
    prepared = fitted_preparer(data, context.learned, targets=False).split(table).read(slice(0, 1)).inputs
    return context.staged({name: torch.from_numpy(np.array(values)) for name, values in prepared.items()})


def _check_prompt(prompt: str, name: str, codec: TextCodec, longest: int | None) -> None:
    """Raise ConfigError if a prompt has no tokens, unknown tokens, or more tokens than the model takes."""
    words, unknown = codec.words_of(prompt), codec.unknown(prompt)
    if len(words) <= len(codec.words_of("")):
        raise ConfigError("the prompt has no words", hint="give a text to answer")
    if unknown and codec.is_whole:
        near = nearest(unknown[0], codec.words)
        hint = f"did you mean '{safe_text(near)}'?" if near else "the model has not seen it in training"
        raise ConfigError(f"--prompt: '{safe_text(unknown[0])}' is not in the vocabulary of '{name}'", hint=hint)
    if longest is not None and len(words) > longest:
        marks = ", with its start and end tokens," if codec.stop is not None else ""
        what = "characters" if not codec.joint else "words"
        text = f"--prompt: it has {len(words)} {what}{marks} and '{name}' takes at most {longest}"
        raise ConfigError(text, hint="give a shorter text")
