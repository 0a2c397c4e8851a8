"""Stories: people move from place to place, and one is asked for; the grammar of the first bAbI task.

Weston et al., Towards AI-Complete Question Answering, 2015.
"""

from collections.abc import Mapping

import numpy as np

from kerascli.data.base import Context, Field, Source, source
from kerascli.data.storage.table import Table, table_of
from kerascli.shapes import FixedSeed, PositiveInt

PEOPLE = ("Daniel", "John", "Mary", "Sandra")
MOVES = ("journeyed to", "moved to", "travelled to", "went back to", "went to")
PLACES = ("bathroom", "bedroom", "garden", "hallway", "kitchen", "office")


@source()
class Stories(Source):
    """`story` of 2, 4, ... sentences, `question` and `answer` (a place), as text; one split `train`."""

    rows: PositiveInt = 10_000
    """How many stories."""
    pairs: PositiveInt = 5
    """A story has at most so many pairs of sentences."""
    seed: FixedSeed = 0

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {name: Field((), "string") for name in ("story", "question", "answer")}

    def load(self, context: Context) -> Mapping[str, Table]:
        random = np.random.default_rng(self.seed)
        told = [_story(random, 2 * int(random.integers(1, self.pairs + 1))) for _ in range(self.rows)]
        columns = zip(("story", "question", "answer"), zip(*told, strict=True), strict=True)
        return {"train": table_of({name: np.array(texts, object) for name, texts in columns}, "stories")}


def _story(random: np.random.Generator, sentences: int) -> tuple[str, str, str]:
    where: dict[str, str] = {}
    lines = []
    people, moves, places = (random.integers(0, len(names), sentences) for names in (PEOPLE, MOVES, PLACES))
    for person, move, place in zip(people, moves, places, strict=True):
        where[PEOPLE[person]] = PLACES[place]
        lines.append(f"{PEOPLE[person]} {MOVES[move]} the {PLACES[place]} .")
    asked = list(where)[int(random.integers(len(where)))]
    return " ".join(lines), f"Where is {asked} ?", where[asked]
