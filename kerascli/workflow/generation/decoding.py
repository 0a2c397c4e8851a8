"""Generate text with the decoder model of a run (such as a translator), for rows of data or a prompt."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from kerascli.data.pipeline.prepare import prepare_rows
from kerascli.data.storage.table import table_of
from kerascli.data.text_codec import TextCodec, teacher_forcing
from kerascli.foundation.errors import ConfigError, counted, nearest, safe_text
from kerascli.training.generation.decode import Decoder, decode_ids
from kerascli.training.generation.generate import Sampling

if TYPE_CHECKING:
    from kerascli.workflow.generation.studio import ModelStudio

MOST_WORDS = 1000
"""Maximum number of tokens to generate with a decoder whose input has no fixed length."""


def decode(
    studio: "ModelStudio", view: str | None, inputs: Mapping[str, Tensor], length: int, sampling: Sampling
) -> np.ndarray:
    """Return the token ids that a run's decoder generates for each row of `inputs`, which are preprocessed arrays."""
    return decode_ids(_decoder(studio, view, inputs), length, sampling)


def prompt_inputs(studio: "ModelStudio", view: str | None, prompt: str) -> dict[str, Tensor]:
    """Return the preprocessed inputs of a decoder for a text prompt, as a mapping by name. Raises ConfigError."""
    facts, data = studio.facts(view), studio.experiment.spec.data
    assert data is not None
    assert facts.decodes is not None
    forced, _ = facts.decodes
    texts = [name for name in facts.inputs if name in studio.inputs and name != forced]
    if len(texts) != 1 or len(facts.inputs) != 2 or studio.inputs[texts[0]].vectorization is None:
        others = [name for name in facts.inputs if name != forced]
        text = f"--prompt: the model's input is {', '.join(others)}, not a text alone"
        raise ConfigError(text, hint="without --prompt rows of the run's data are used")
    _check_prompt(prompt, texts[0], studio.inputs[texts[0]], facts.inputs[texts[0]].shape[0])
    columns = {column: "" for pipeline in data.inputs.values() for column in pipeline.columns}
    columns[data.inputs[texts[0]].columns[0]] = prompt
    table = table_of({name: np.array([text], dtype=object) for name, text in columns.items()}, "--prompt")
    prepared = prepare_rows(data, studio.learned, table, targets=False).read(slice(0, 1)).inputs
    return studio.staged({name: torch.from_numpy(np.array(values)) for name, values in prepared.items()})


def _check_prompt(prompt: str, name: str, codec: TextCodec, longest: int | None) -> None:
    """Raise ConfigError if a prompt has no tokens, unknown tokens, or more tokens than the model takes."""
    words, unknown = codec.words_of(prompt), codec.unknown(prompt)
    if len(words) <= len(codec.words_of("")):
        raise ConfigError("the prompt has no words", hint="give a text to answer")
    if unknown and codec.is_whole:
        near = nearest(unknown[0], codec.words)
        raise ConfigError(
            f"--prompt: '{safe_text(unknown[0])}' is not in the vocabulary of '{name}'",
            hint=f"did you mean '{safe_text(near)}'?" if near else "the model has not seen it in training",
        )
    if longest is not None and len(words) > longest:
        marks = ", with its start and end tokens," if codec.stop is not None else ""
        what = "characters" if not codec.joint else "words"
        text = f"--prompt: it has {len(words)} {what}{marks} and '{name}' takes at most {longest}"
        raise ConfigError(text, hint="give a shorter text")


def _decoder(studio: "ModelStudio", view: str | None, inputs: Mapping[str, Tensor]) -> Decoder:
    facts, data = studio.facts(view), studio.experiment.spec.data
    forcing = teacher_forcing(data) if data is not None else None
    assert forcing is not None
    reads, writes = studio.inputs[forcing.input], studio.outputs[forcing.target]
    begin = forcing.begin(reads)
    if not begin:
        hint = "put enclose before text_vectorization, or {shift: -1} after it"
        raise ConfigError(f"the model cannot generate text: the start token of '{forcing.input}' is unknown", hint=hint)
    output = forcing.target if forcing.target in facts.outputs else next(iter(facts.outputs))
    spec = facts.outputs[output]
    if spec.rank != 2 or spec.shape[-1] is None or spec.shape[-1] < len(writes.words):
        text = f"'{output}' {spec} is not a probability for each of {counted(len(writes.words), 'word')} at every step"
        raise ConfigError(f"the model cannot generate text: {text}")

    given = {name: inputs[name] for name in facts.inputs if name != forcing.input}

    def predict(numbers: Tensor) -> Tensor:
        return studio.run(view, {**given, **studio.staged({forcing.input: numbers})})[output]

    rows = len(next(iter(given.values())))
    places = facts.inputs[forcing.input].shape[0]
    return Decoder(predict, begin, places or MOST_WORDS, rows, reads, writes)
