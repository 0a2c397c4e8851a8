"""Addition: sums as text, to be done character by character."""

from collections.abc import Mapping
from typing import Annotated, Self

import numpy as np
from pydantic import Field as Setting
from pydantic import model_validator

from kerascli.data.base import Context, Field, Source, source
from kerascli.data.storage.table import Table, table_of
from kerascli.shapes import FixedSeed, PositiveInt


@source()
class Addition(Source):
    """`question` ("12+345 ") and `answer` ("357 "), filled up with spaces; one split `train`.

    Numbers have from one to `digits` digits, all lengths alike until the short ones run out. No sum comes again, nor
    does it with its terms turned round.
    """

    rows: PositiveInt = 50_000
    """How many sums."""
    digits: Annotated[int, Setting(ge=1, le=9)] = 3
    """The most digits of a number."""
    reverse: bool = False
    """Questions are written from their end on: what an LSTM sees last is how the sum begins."""
    seed: FixedSeed = 0

    @model_validator(mode="after")
    def _enough(self) -> Self:
        count = 10**self.digits * (10**self.digits + 1) // 2
        if self.rows > (most := count * 4 // 5):  # the last ones would take long to be drawn
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
        found: dict[tuple[int, int], tuple[int, int]] = {}
        while len(found) < self.rows:
            least = 10 ** random.integers(0, self.digits, (self.rows, 2))
            terms = random.integers(np.where(least == 1, 0, least), 10 * least)
            for a, b in terms.tolist():
                found.setdefault((min(a, b), max(a, b)), (a, b))
        return list(found.values())[: self.rows]
