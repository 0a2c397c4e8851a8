"""What the numbers of a text pipeline mean: words or characters, from a pipeline and what it has learned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kerascli.data.base import Field, Learned
from kerascli.data.route import Route
from kerascli.data.spec import DataSpec, Pipeline, Step
from kerascli.data.transforms.string_lookup import StringLookup
from kerascli.data.transforms.text_vectorization import TextVectorization


@dataclass(frozen=True, slots=True)
class TextCodec:
    """Numbers and the words that they stand for; the first ones are special: padding, an unknown word."""

    words: tuple[str, ...]
    special: int
    joint: str
    """What stands between two words."""
    vectorization: TextVectorization | None
    """What splits texts; without it a text is one word."""
    learned: Learned

    def numbers(self, text: str, longest: int) -> list[int]:
        """The numbers of the last words of a text, at most `longest`."""
        if self.vectorization is None:
            return []
        words = list(text) if not self.joint else text.split()
        kept = np.array([self.joint.join(words[-longest:])], dtype=object)
        free = self.vectorization.model_copy(update={"output_sequence_length": longest})
        return [
            number for number in free.apply(kept, Field((), "string"), self.learned, target=False)[0].tolist() if number
        ]

    def text(self, values: np.ndarray) -> str:
        """What a row of numbers, or of vectors with a value a word, says; padding is left out."""
        numbers = values if values.dtype.kind in "iu" and values.shape[-1:] != (len(self.words),) else values.argmax(-1)
        known = [self.words[n] for n in np.asarray(numbers).reshape(-1).tolist() if 0 <= n < len(self.words)]
        return self.joint.join(word for word in known if word)


def is_text(pipeline: Pipeline) -> bool:
    """Whether a pipeline makes numbers of words."""
    return _text_step(pipeline.steps) is not None


def text_codecs(spec: DataSpec, learned: Mapping[str, Learned], section: str) -> dict[str, TextCodec]:
    """Those of the inputs, or of the targets, that are text, by name."""
    pipelines = spec.all_pipelines()
    shared = {s.shared for (where, _), p in pipelines.items() if where == "inputs" for s in p.steps if s.shared}
    splitting = [step.transform for p in pipelines.values() for step in p.steps]
    by_character = any(isinstance(step, TextVectorization) and step.split == "character" for step in splitting)
    found = {}
    for (where, name), pipeline in pipelines.items():
        index = _text_step(pipeline.steps)
        if where != section or index is None:
            continue
        target = where == "targets" and not any(step.shared in shared for step in pipeline.steps)
        key = Route(where, name, pipeline, target=target).key(index)
        if key in learned:
            found[name] = _codec(pipeline.steps[index], learned[key], by_character, target=target)
    return found


def _text_step(steps: Sequence[Step]) -> int | None:
    """Where words become numbers."""
    for index, step in enumerate(steps):
        transform = step.transform
        if isinstance(transform, TextVectorization) and transform.output_mode == "int" and transform.ngrams is None:
            return index
        if isinstance(transform, StringLookup) and not transform.invert and transform.output_mode in {"int", "one_hot"}:
            return index
    return None


def _codec(step: Step, learned: Learned, by_character: bool, *, target: bool) -> TextCodec:
    transform = step.transform
    vectorization = transform if isinstance(transform, TextVectorization) else None
    lookup = transform.lookup if isinstance(transform, TextVectorization) else transform
    assert isinstance(lookup, StringLookup)
    vocabulary = tuple(map(str, learned.facts["vocabulary"]))
    target = target and vectorization is None
    size = lookup.infer(Field((), "string"), learned, target=target).vocabulary_size or 0
    special = size - len(vocabulary)
    masks = 1 if special and lookup.mask_token is not None and lookup.output_mode == "int" else 0
    words = ("",) * masks + ("[UNK]",) * (special - masks) + vocabulary
    joint = "" if (vectorization.split == "character" if vectorization is not None else by_character) else " "
    return TextCodec(words, special, joint, vectorization, learned)
