"""Convert between texts and token ids with a run's text pipeline, and detect teacher forcing."""

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Literal, NamedTuple

import numpy as np

from kerascli.data.base import NO_STATE, Field, FittedState, States, Transform
from kerascli.data.pipeline.prepare import named_pipelines_of
from kerascli.data.section import DataSpec, Pipeline, Step
from kerascli.data.storage.column import Texts
from kerascli.data.transforms.conversions import Shift, ToCategorical
from kerascli.data.transforms.sequences import PadSequences
from kerascli.data.transforms.text_lookups import StringLookup, TextVectorization
from kerascli.data.transforms.text_rewriting import Enclose


class TextCodec(NamedTuple):
    """Converter between texts and token ids; `words` has `special` entries (padding, OOV), then the vocabulary."""

    words: tuple[str, ...]
    special: int
    joint: str
    """Separator between tokens in a decoded text: a space, or '' for characters."""
    vectorization: TextVectorization | None
    """Transform that splits texts into tokens; None: a text is one token."""
    learned: FittedState
    before: tuple[Transform, ...] = ()
    """Transforms of the pipeline that are applied to a text before it is tokenized."""

    @property
    def start(self) -> tuple[int, ...]:
        """Return the token ids with which the transform `enclose` begins every text; empty if there is none."""
        return tuple(self._marks("start"))

    @property
    def end(self) -> tuple[int, ...]:
        """Return the token ids with which the transform `enclose` ends every text; empty if there is none."""
        return tuple(self._marks("end"))

    def numbers_of(self, other: "TextCodec") -> list[int]:
        """Return a list that maps another codec's token ids to this codec's; other tokens are out of vocabulary."""
        number_of = {word: number for number, word in enumerate(self.words) if number >= self.special}
        last = max(0, self.special - 1)  # the out-of-vocabulary id, if there is one
        special = [min(number, last) for number in range(other.special)]
        return special + [number_of.get(word, last) for word in other.words[other.special :]]

    def words_of(self, text: str) -> list[str]:
        """Return the tokens of a text after preprocessing; empty if the pipeline does not split texts."""
        if self.vectorization is None:
            return []
        return self.vectorization.tokens(_through(self.before, text)[0])

    def numbers(self, text: str, longest: int) -> list[int]:
        """Encode a text that is to be continued: return the ids of its last tokens, at most `longest`."""
        if self.vectorization is None:
            return []
        opened = (s.model_copy(update={"end": ""}) if isinstance(s, Enclose) else s for s in self.before)
        (text,) = _through(opened, text)
        tokens = self.vectorization.tokens(text)[-longest:]
        return [number for number in self.vectorization.lookup.indices(tokens, self.learned).tolist() if number]

    def text(self, values: np.ndarray) -> str:
        """Decode a row of token ids, or of scores over the vocabulary, to text; drop padding, start and end tokens."""
        row, start, end = tuple(self._row(values)), self.start, self.end
        begun = max(count for count in range(len(start) + 1) if row[:count] == start[len(start) - count :])
        row = row[begun:]  # a shifted target has the last of them alone
        if end and (ends := [place for place in range(len(row)) if row[place : place + len(end)] == end]):
            row = row[: ends[0]]
        return self.joint.join(word for number in row if (word := self._word(number)))

    def each(self, values: np.ndarray) -> list[str]:
        """Return the token at each time step of a row of token ids or scores over the vocabulary; '' is padding."""
        return [self._word(number) for number in self._row(values)]

    def _word(self, number: int) -> str:
        return self.words[number] if 0 <= number < len(self.words) else ""

    def _row(self, values: np.ndarray) -> list[int]:
        are_numbers = self.vectorization is not None or values.shape[-1:] != (len(self.words),)
        numbers = values if values.dtype.kind in "iu" and are_numbers else values.argmax(-1)
        return np.asarray(numbers).reshape(-1).tolist()

    def _marks(self, which: Literal["start", "end"]) -> list[int]:
        """Return the token ids of the start or end text of the transform `enclose`; empty if there is none."""
        for place, step in enumerate(self.before):
            if isinstance(step, Enclose) and self.vectorization is not None:
                mark = self.vectorization.tokens(_through(self.before[place + 1 :], getattr(step, which))[0])
                return [self.words.index(word) for word in mark if word in self.words]
        return []


def _through(steps: Iterable[Transform], text: str) -> list[str]:
    """Return a list of one text, to which text transforms are applied."""
    texts, field = Texts.of_values(np.array([text], object)), Field((), "string")
    for step in steps:
        texts = step.rewritten(texts, field, NO_STATE)
    return texts.word_list()


def text_codecs(spec: DataSpec, learned: States, section: str) -> dict[str, TextCodec]:
    """Return a mapping from name to codec for the pipelines in `section` that map texts to token ids."""
    splitting = [step.transform for pipeline in spec.all_pipelines().values() for step in pipeline.steps]
    by_character = any(isinstance(step, TextVectorization) and step.split == "character" for step in splitting)
    codecs = {}
    for named in named_pipelines_of(spec):
        steps = named.steps
        index = text_step(steps)
        if named.section == section and index is not None and (key := named.key(index)) in learned:
            codecs[named.name] = _codec(steps[: index + 1], learned[key], by_character, target=named.target)
    return codecs


def text_step(steps: Sequence[Step]) -> int | None:
    """Return the index of the pipeline step that maps texts to token ids, or None."""
    for index, step in enumerate(steps):
        transform = step.transform
        if isinstance(transform, TextVectorization) and transform.output_mode == "int" and transform.ngrams is None:
            return index
        if isinstance(transform, StringLookup) and not transform.invert and transform.output_mode in {"int", "one_hot"}:
            return index
    return None


def _codec(steps: Sequence[Step], learned: FittedState, by_character: bool, *, target: bool) -> TextCodec:
    *before, transform = (step.transform for step in steps)
    vectorization = transform if isinstance(transform, TextVectorization) else None
    lookup = transform.lookup if isinstance(transform, TextVectorization) else transform
    assert isinstance(lookup, StringLookup)
    vocabulary = tuple(map(str, learned.facts["vocabulary"]))
    special, masks = lookup.first(target=target and vectorization is None), lookup.masks()
    words = ("",) * masks + ("[UNK]",) * (special - masks) + vocabulary
    joint = "" if (vectorization.split == "character" if vectorization is not None else by_character) else " "
    return TextCodec(words, special, joint, vectorization, learned, tuple(before))


class TeacherForcing(NamedTuple):
    """Names of a decoder's input and target in teacher forcing, where the input is the target delayed by one step."""

    input: str
    target: str
    ahead: int
    """Number of the text's first tokens that the input omits; if negative, number of padding steps before them."""
    fill: int
    """Token id of the padding steps before the input's first token."""

    def begin(self, codec: TextCodec) -> tuple[int, ...]:
        """Return the token ids with which the decoder's input begins for every text."""
        return (self.fill,) * -self.ahead + codec.start[max(0, self.ahead) :]


def teacher_forcing(data: DataSpec) -> TeacherForcing | None:
    """Return the names of the input and target with teacher forcing, judged by their pipelines; None if none.

    An input and a target tokenize the same column in the same way, and the input is delayed by one step.
    """
    for (name, pipeline), (target, other) in product(data.inputs.items(), data.targets.items()):
        read, written = _tokens(pipeline), _tokens(other)
        if read and written and pipeline.columns == other.columns and read[0] == written[0]:
            (_, ahead, fill), (_, behind, _) = read, written
            if behind - ahead == 1:
                return TeacherForcing(name, target, ahead, fill)
    return None


def _tokens(pipeline: Pipeline) -> tuple[tuple[Step, ...], int, int] | None:
    """Return a pipeline's steps up to the one that maps texts to token ids, by how many positions the others shift the
    ids, and the id that fills the front; None if no step maps texts to ids, or another one changes them."""
    if (index := text_step(pipeline.steps)) is None:
        return None
    ahead, fill = 0, 0
    for step in pipeline.steps[index + 1 :]:
        match step.transform:
            case Shift() as shift:
                ahead += shift.steps
                fill = int(shift.value) if shift.steps < 0 else fill
            case ToCategorical() | PadSequences(padding="post", truncating="post"):
                pass
            case _:
                return None
    return pipeline.steps[: index + 1], ahead, fill
