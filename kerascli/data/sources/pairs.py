"""Source `pairs`: pairs of rows of another source for Siamese networks; Hadsell, Chopra and LeCun, 2006."""

from collections.abc import Mapping

import numpy as np

from kerascli.data.base import Context, Field, source
from kerascli.data.sources.wrapped import WrappedSource, gathered, values_in_memory
from kerascli.data.storage.blocks import unique_inverse
from kerascli.data.storage.on_disk import Values
from kerascli.data.storage.table import Table, missing
from kerascli.foundation.errors import DataError, Place
from kerascli.foundation.shapes import NonNegativeInt

OTHER = "_other"


@source()
class Pairs(WrappedSource):
    """Pairs of rows of another source, for Siamese networks (Hadsell, Chopra and LeCun, 2006).

    Each row occurs in a positive pair (same class, `same` is 1) and in a negative pair (another class, `same` is 0).
    The partner's columns are called `NAME_other`.
    """

    label: str = "y"
    """Column with the class labels: integers or words."""
    seed: NonNegativeInt = 0
    """Random seed for the choice of the rows that each row is paired with."""

    def facts(self, context: Context) -> Mapping[str, Field] | None:
        facts = self.source.facts(self.inner_context(context))
        if facts is None:
            return None
        others = {name + OTHER: field for name, field in facts.items()}
        return {**facts, **others, "same": Field((), "uint8", num_classes=2)}

    def load(self, context: Context) -> Mapping[str, Table]:
        tables = self.inner_tables(context)
        return {split: self._paired(table, split, context.columns) for split, table in tables.items()}

    def row_columns(self, columns: frozenset[str]) -> frozenset[str]:
        return frozenset({name.removesuffix(OTHER) for name in columns} | {self.label})

    def _paired(self, table: Table, split: str, used: frozenset[str] | None) -> Table:
        one = np.repeat(np.arange(table.rows), 2)
        other = self._partners(table, split).reshape(-1)
        columns: dict[str, Values] = {"same": np.tile(np.array([1, 0], np.uint8), table.rows)}
        series = self.series_column()
        for name in table:
            for shown, rows in ((name, one), (name + OTHER, other)):
                if used is None or shown in used or shown == series:
                    columns[shown] = gathered(values_in_memory(table, name, "pairs"), rows)

        def place(row: int, column: str, at: tuple[int, int]) -> Place:
            is_other = column not in table and column.endswith(OTHER)
            rows = other if is_other else one
            return table.place(int(rows[row]), column.removesuffix(OTHER) if is_other else column, at)

        numbers = table.numbers()[one]
        return Table(columns, len(one), name=table.name, numbers=numbers, made_of=place, skipped=table.skipped,
                     note=table.note)  # fmt: skip

    def _partners(self, table: Table, split: str) -> np.ndarray:
        """Draw two rows to pair each row with, (rows, 2): another row of its class, and a row of another class."""
        classes = values_in_memory(table, self.label, "pairs")
        gaps = missing(classes)
        if gaps.any():
            row = int(gaps.reshape(len(classes), -1).any(1).argmax())
            raise DataError("a missing class; pairs need one in each row", place=table.place(row, self.label))
        labels = unique_inverse(classes)[1].reshape(-1)
        counts = np.bincount(labels)
        if len(labels) != table.rows or len(counts) < 2 or counts.min() < 2:
            text = f"'{split}': pairs need at least two classes in '{self.label}', with two rows each"
            raise DataError(text, place=table.name or "data")
        random = np.random.default_rng(self.seed)
        order = random.permutation(table.rows)
        order = order[np.argsort(labels[order], kind="stable")]  # class by class, in random order within each
        first = np.cumsum(counts) - counts
        of, start, size = labels[order], first[labels[order]], counts[labels[order]]
        partners = np.empty((table.rows, 2), np.int64)
        partners[order, 0] = order[start + (np.arange(table.rows) - start + 1) % size]
        places = random.integers(0, table.rows - size)  # among the rows of all other classes
        partners[order, 1] = order[np.where(places < first[of], places, places + size)]
        return partners
