"""Sources `pairs`, of another source's rows (Hadsell, Chopra and LeCun, 2006), and `skipgrams`, of words (Mikolov et
al., 2013)."""

from collections import Counter

import numpy as np

from kerascli.data.base import Context, Field, Fields, Tables, source
from kerascli.data.sources.wrapped import WrappedSource, gathered, values_in_memory
from kerascli.data.storage.blocks import unique_inverse
from kerascli.data.storage.column import pa
from kerascli.data.storage.on_disk import Values, in_memory
from kerascli.data.storage.table import Table, missing, table_of
from kerascli.data.storage.tokens import Tokens, column_dtype
from kerascli.data.transforms.text_lookups import TextVectorization
from kerascli.foundation.disk.files import OBJECT_BYTES, memory_limit
from kerascli.foundation.errors import DataError, Place
from kerascli.foundation.shapes import NonNegativeFloat, NonNegativeInt, PositiveInt

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

    def facts(self, context: Context) -> Fields | None:
        facts = self.source.facts(self.inner_context(context))
        if facts is None:
            return None
        others = {name + OTHER: field for name, field in facts.items()}
        return {**facts, **others, "same": Field((), "uint8", num_classes=2)}

    def load(self, context: Context) -> Tables:
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

        return Table(columns, len(one), name=table.name, lines=table.numbers()[one], made_of=place,
                     skipped=table.skipped, note=table.note)  # fmt: skip

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
            raise table.fault(f"'{split}': pairs need at least two classes in '{self.label}', with two rows each")
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


@source()
class Skipgrams(WrappedSource):
    """Pairs of near words, and of a word and a random one (Mikolov et al., 2013), as Keras's `skipgrams`.

    Columns: `word`, `context` and `label`, 1 for near words, 0 for a random one. The words are those of a column of
    texts, in lower case, or token ids of a column of sequences, of which 0 is no word.
    """

    column: str = "text"
    """Column of the wrapped source with a text or a sequence of token ids per row."""
    window_size: PositiveInt = 4
    """Maximum distance between near words."""
    negative_samples: NonNegativeFloat = 1.0
    """Number of pairs with a random word for each pair of near words."""
    vocabulary_size: PositiveInt | None = None
    """Largest token id + 1; of texts, this number less 1 of the most frequent words are used. null: all of training."""
    shuffle: bool = True
    """Shuffle the pairs; false: near words in the order of the texts, then the others."""
    seed: NonNegativeInt = 0
    """Random seed of the random words and the order."""

    def facts(self, context: Context) -> Fields | None:
        field = (self.source.facts(self.inner_context(context)) or {}).get(self.column)
        if field is None:
            return None
        size = self.vocabulary_size or field.vocabulary_size
        word = Field((), "string") if field.is_text else Field((), "int64", vocabulary_size=size)
        return {"word": word, "context": word, "label": Field((), "uint8", num_classes=2)}

    def load(self, context: Context) -> Tables:
        coded = {split: self._coded(table) for split, table in self.inner_tables(context).items()}
        *_, vocabulary = coded["train"]
        return {split: self._pairs(split, words, tokens, vocabulary) for split, (words, tokens, _) in coded.items()}

    def row_columns(self, columns: frozenset[str]) -> frozenset[str]:
        return frozenset({self.column})

    def _coded(self, table: Table) -> tuple[np.ndarray, Tokens, np.ndarray]:
        """Return the distinct words (texts or token ids) of a table, its rows as indices of them, and the words to use:
        of texts the most frequent first, of token ids all from 1 on."""
        values = table.column(self.column)
        kind = column_dtype(values)
        if kind == "string":
            texts = values_in_memory(table, self.column, "skipgrams").tolist()
            words, tokens = TextVectorization().coded(pa.array(texts, pa.large_string()))
            counts = Counter(dict(zip(words, np.bincount(tokens.values).tolist(), strict=True)))
            frequent = counts.most_common(self.vocabulary_size and self.vocabulary_size - 1)
            return np.array(words, object), tokens, np.array([word for word, _ in frequent], object)
        rows = Tokens.of(in_memory(values))
        if rows.values.dtype.kind not in "iu":
            raise table.fault(f"skipgrams: expected texts or token ids in the column '{self.column}', got {kind}")
        words, codes = np.unique(rows.values, return_inverse=True)
        ids = np.arange(1, self.vocabulary_size or 1 + int(words.max(initial=0)))
        return words.astype(np.int64), Tokens(codes.reshape(-1), rows.lengths), ids

    def _pairs(self, split: str, words: np.ndarray, tokens: Tokens, vocabulary: np.ndarray) -> Table:
        is_used = np.isin(words, vocabulary)[tokens.values]
        most = int(len(is_used) * 2 * self.window_size * (1 + self.negative_samples)) * 2 * OBJECT_BYTES
        if most > memory_limit():
            hint = "a smaller window_size or vocabulary_size, or fewer negative_samples"
            raise DataError(f"skipgrams of {len(is_used):,} words take up to {most:,} bytes", place=split, hint=hint)
        first, second = _near(tokens, is_used, self.window_size)
        if not len(first):
            raise DataError(f"skipgrams: no words are near each other in '{self.column}'", place=split)
        random = np.random.default_rng([self.seed, *split.encode()])
        count = int(len(first) * self.negative_samples)
        again = random.permutation(first)[np.arange(count) % len(first)]
        others = vocabulary[random.integers(0, len(vocabulary), count)]
        word = words[tokens.values[np.concatenate([first, again])]]
        context = np.concatenate([words[tokens.values[second]], others])
        label = np.repeat(np.array([1, 0], np.uint8), [len(first), count])
        order = random.permutation(len(label)) if self.shuffle else np.arange(len(label))
        return table_of({"word": word[order], "context": context[order], "label": label[order]}, f"skipgrams {split}")


def _near(tokens: Tokens, is_used: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of pairs of used words of one row at most `window` apart, in both orders, sorted."""
    owners, pairs = tokens.owners(), [np.empty((2, 0), np.int64)]
    for step in range(1, min(window + 1, tokens.longest())):
        place = np.flatnonzero((owners[:-step] == owners[step:]) & is_used[:-step] & is_used[step:])
        pairs += [np.array([place, place + step]), np.array([place + step, place])]
    first, second = np.concatenate(pairs, axis=1)
    order = np.lexsort((second, first))
    return first[order], second[order]
