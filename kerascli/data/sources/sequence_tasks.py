"""Sources `copy_task`, `addition` and `stories`: generated tasks for sequence models.

The copy task is that of Graves, Wayne and Danihelka, Neural Turing Machines, 2014; the stories have the grammar of bAbI
task 1: Weston et al., Towards AI-Complete Question Answering, 2015.
"""

from typing import Annotated, Self

import numpy as np
from pydantic import Field as Setting
from pydantic import model_validator

from kerascli.data.base import Context, Field, Fields, source
from kerascli.data.sources.generated import Columns, Generated
from kerascli.foundation.shapes import PositiveInt


@source()
class CopyTask(Generated):
    """Copy task: `x` holds random bit vectors, a delimiter on an extra channel, then zeros; `y` repeats the vectors.

    Shapes with T = 2 * length + 1: `x` (T, bits + 1), `y` (T, bits), `recall` (T,), float32; shorter sequences are
    padded with zeros. `recall` is 1 at the steps of the repeated vectors (a sample weight for `y`), 0 elsewhere. The
    split `train` has all rows. With `test_length` there is a split `test` with a tenth as many rows, all of that
    length; unless it equals `length`, the time axis is unknown (None).
    """

    length: PositiveInt = 10
    """Maximum number of vectors to copy."""
    bits: PositiveInt = 8
    """Number of bits (0 or 1) of a vector."""
    min_length: PositiveInt | None = None
    """Minimum number of vectors: each sequence has a random number from this to `length`; null: all have `length`."""
    test_length: PositiveInt | None = None
    """Number of vectors of each sequence in the split `test`; null: there is no such split."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min_length is not None and self.min_length > self.length:
            raise ValueError(f"min_length: expected at most length ({self.length}), got {self.min_length}")
        return self

    def facts(self, context: Context) -> Fields:
        steps = 2 * self.length + 1 if self.test_length in (None, self.length) else None
        shapes = {"x": (steps, self.bits + 1), "y": (steps, self.bits), "recall": (steps,)}
        return {name: Field(shape, "float32") for name, shape in shapes.items()}

    def splits(self, random: np.random.Generator) -> dict[str, Columns]:
        splits = super().splits(random)
        if self.test_length is not None:
            splits["test"] = self._drawn(random, max(1, self.rows // 10), self.test_length, self.test_length)
        return splits

    def columns(self, random: np.random.Generator) -> Columns:
        return self._drawn(random, self.rows, self.min_length or self.length, self.length)

    def _drawn(self, random: np.random.Generator, rows: int, least: int, most: int) -> Columns:
        vectors = random.integers(0, 2, (rows, most, self.bits))
        lengths = random.integers(least, most + 1, rows) if least < most else np.full(rows, most)
        steps, ends = np.arange(2 * most + 1), lengths[:, None]
        heard, recall = steps < ends, (steps > ends) & (steps <= 2 * ends)
        x = np.zeros((rows, len(steps), self.bits + 1), np.float32)
        y = np.zeros((rows, len(steps), self.bits), np.float32)
        x[heard, :-1] = y[recall] = vectors[heard[:, :most]]
        x[np.arange(rows), lengths, -1] = 1
        return {"x": x, "y": y, "recall": recall.astype(np.float32)}


@source()
class Addition(Generated):
    """Additions as text: `question` ("12+345 ") and `answer` ("357 "), padded with spaces; one split `train`.

    Terms have 1 to `digits` digits, each length equally likely until the short ones are used up. Every unordered pair
    of terms occurs at most once.
    """

    rows: PositiveInt = 50_000
    """Number of samples (additions)."""
    digits: Annotated[int, Setting(ge=1, le=9)] = 3
    """Maximum number of digits of a term."""
    reverse: bool = False
    """Reverse the characters of each question, so that an LSTM reads the start of the question last."""

    @model_validator(mode="after")
    def _enough(self) -> Self:
        count = 10**self.digits * (10**self.digits + 1) // 2
        if self.rows > (most := count * 4 // 5):  # rejection sampling is slow when few unused sums are left
            digits = f"{self.digits} digit" + ("s" if self.digits > 1 else "")
            raise ValueError(f"rows: there are {count:,} sums of numbers of {digits}; expected at most {most:,}")
        return self

    def facts(self, context: Context) -> Fields:
        return {"question": Field((), "string"), "answer": Field((), "string")}

    def columns(self, random: np.random.Generator) -> Columns:
        pairs = self._pairs(random)
        questions = [f"{a}+{b}".ljust(2 * self.digits + 1) for a, b in pairs]
        questions = [question[::-1] for question in questions] if self.reverse else questions
        answers = [str(a + b).ljust(self.digits + 1) for a, b in pairs]
        return {"question": np.array(questions, object), "answer": np.array(answers, object)}

    def _pairs(self, random: np.random.Generator) -> list[tuple[int, int]]:
        pairs: dict[tuple[int, int], tuple[int, int]] = {}
        while len(pairs) < self.rows:
            least = 10 ** random.integers(0, self.digits, (self.rows, 2))
            for a, b in random.integers(np.where(least == 1, 0, least), 10 * least).tolist():
                pairs.setdefault((min(a, b), max(a, b)), (a, b))
        return list(pairs.values())[: self.rows]


PEOPLE = ("Daniel", "John", "Mary", "Sandra")
MOVES = ("journeyed to", "moved to", "travelled to", "went back to", "went to")
PLACES = ("bathroom", "bedroom", "garden", "hallway", "kitchen", "office")


@source()
class Stories(Generated):
    """Stories about people who move between places, as in bAbI task 1 (Weston et al., 2015); one split `train`.

    Columns of text: `story` of 2, 4, ... sentences, `question` ("Where is Mary ?") and `answer` (a place).
    """

    rows: PositiveInt = 10_000
    """Number of stories."""
    pairs: PositiveInt = 5
    """Maximum number of pairs of sentences of a story."""

    def facts(self, context: Context) -> Fields:
        return {name: Field((), "string") for name in ("story", "question", "answer")}

    def columns(self, random: np.random.Generator) -> Columns:
        stories = [_story(random, 2 * int(random.integers(1, self.pairs + 1))) for _ in range(self.rows)]
        columns = zip(("story", "question", "answer"), zip(*stories, strict=True), strict=True)
        return {name: np.array(texts, object) for name, texts in columns}


def _story(random: np.random.Generator, sentences: int) -> tuple[str, str, str]:
    where: dict[str, str] = {}
    lines = []
    people, moves, places = (random.integers(0, len(names), sentences) for names in (PEOPLE, MOVES, PLACES))
    for person, move, place in zip(people, moves, places, strict=True):
        where[PEOPLE[person]] = PLACES[place]
        lines.append(f"{PEOPLE[person]} {MOVES[move]} the {PLACES[place]} .")
    asked = list(where)[int(random.integers(len(where)))]
    return " ".join(lines), f"Where is {asked} ?", where[asked]
