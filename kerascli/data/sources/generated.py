"""Base class of data sources of generated rows, which depend on their settings alone."""

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np

from kerascli.data.base import Context, Source
from kerascli.data.storage.table import Table, table_of
from kerascli.foundation.shapes import FixedSeed, PositiveInt

Columns = dict[str, np.ndarray]
"""Mapping from column name to its values (rows, *)."""


class Generated(Source):
    """Base class of data sources of generated rows in one split `train`."""

    rows: PositiveInt = 1000
    """Number of rows of the split `train`."""
    seed: FixedSeed = 0
    """Random seed of the generated data; the run's seed has no effect on it."""

    def load(self, context: Context) -> Mapping[str, Table]:
        splits = self.splits(np.random.default_rng(self.seed))
        return {split: table_of(columns, self.component_name) for split, columns in splits.items()}

    def splits(self, random: np.random.Generator) -> dict[str, Columns]:
        """Return a mapping from split name to its columns."""
        return {"train": self.columns(random)}

    @abstractmethod
    def columns(self, random: np.random.Generator) -> Columns:
        """Return the columns of the split `train`."""
