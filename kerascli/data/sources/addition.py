"""Source `addition`: additions of integers as text, for character-level sequence-to-sequence models."""

from collections.abc import Mapping
from typing import Annotated, Self

import numpy as np
from pydantic import Field as Setting
from pydantic import model_validator

from kerascli.data.base import Context, Field, Source, source
from kerascli.data.storage.table import Table, table_of
from kerascli.foundation.shapes import FixedSeed, PositiveInt


@source()
class Addition(Source):
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
    seed: FixedSeed = 0
    """Random seed of the generated data; the run's seed has no effect on it."""

    @model_validator(mode="after")
    def _enough(self) -> Self:
        count = 10**self.digits * (10**self.digits + 1) // 2
        if self.rows > (most := count * 4 // 5):  # rejection sampling is slow when few unused sums are left
            digits = f"{self.digits} digit" + ("s" if self.digits > 1 else "")
            raise ValueError(f"rows: there are {count:,} sums of numbers of {digits}; expected at most {most:,}")
        return self

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {"question": Field((), "string"), "answer": Field((), "string")}

    def load(self, context: Context) -> Mapping[str, Table]:
        pairs = self._pairs()
        questions = [f"{a}+{b}".ljust(2 * self.digits + 1) for a, b in pairs]
        questions = [question[::-1] for question in questions] if self.reverse else questions
        answers = [str(a + b).ljust(self.digits + 1) for a, b in pairs]
        columns = {"question": np.array(questions, object), "answer": np.array(answers, object)}
        return {"train": table_of(columns, "addition")}

    def _pairs(self) -> list[tuple[int, int]]:
        random = np.random.default_rng(self.seed)
        pairs: dict[tuple[int, int], tuple[int, int]] = {}
        while len(pairs) < self.rows:
            least = 10 ** random.integers(0, self.digits, (self.rows, 2))
            terms = random.integers(np.where(least == 1, 0, least), 10 * least)
            for a, b in terms.tolist():
                pairs.setdefault((min(a, b), max(a, b)), (a, b))
        return list(pairs.values())[: self.rows]
