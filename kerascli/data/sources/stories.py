"""Source `stories`: question answering over generated stories, in the grammar of bAbI task 1.

Weston et al., Towards AI-Complete Question Answering, 2015.
"""

from collections.abc import Mapping

import numpy as np

from kerascli.data.base import Context, Field, Source, source
from kerascli.data.storage.table import Table, table_of
from kerascli.foundation.shapes import FixedSeed, PositiveInt

PEOPLE = ("Daniel", "John", "Mary", "Sandra")
MOVES = ("journeyed to", "moved to", "travelled to", "went back to", "went to")
PLACES = ("bathroom", "bedroom", "garden", "hallway", "kitchen", "office")


@source()
class Stories(Source):
    """Stories about people who move between places, as in bAbI task 1 (Weston et al., 2015); one split `train`.

    Columns of text: `story` of 2, 4, ... sentences, `question` ("Where is Mary ?") and `answer` (a place).
    """

    rows: PositiveInt = 10_000
    """Number of stories."""
    pairs: PositiveInt = 5
    """Maximum number of pairs of sentences of a story."""
    seed: FixedSeed = 0
    """Random seed of the generated data; the run's seed has no effect on it."""

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {name: Field((), "string") for name in ("story", "question", "answer")}

    def load(self, context: Context) -> Mapping[str, Table]:
        random = np.random.default_rng(self.seed)
        stories = [_story(random, 2 * int(random.integers(1, self.pairs + 1))) for _ in range(self.rows)]
        columns = zip(("story", "question", "answer"), zip(*stories, strict=True), strict=True)
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
