"""Source `skipgrams`: words with words near them, and with random ones, to learn word vectors; Mikolov et al., 2013."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from kerascli.data.base import Context, Field, source
from kerascli.data.sources.wrapped import WrappedSource, values_in_memory
from kerascli.data.storage.table import Table, table_of
from kerascli.data.storage.tokens import Tokens, column_dtype
from kerascli.data.transforms.text_lookups import TextVectorization
from kerascli.foundation.disk.files import OBJECT_BYTES, memory_limit
from kerascli.foundation.errors import DataError
from kerascli.foundation.shapes import NonNegativeFloat, NonNegativeInt, PositiveInt


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

    def facts(self, context: Context) -> Mapping[str, Field] | None:
        field = (self.source.facts(self.inner_context(context)) or {}).get(self.column)
        if field is None:
            return None
        size = self.vocabulary_size or field.vocabulary_size
        word = Field((), "string") if field.is_text else Field((), "int64", vocabulary_size=size)
        return {"word": word, "context": word, "label": Field((), "uint8", num_classes=2)}

    def load(self, context: Context) -> Mapping[str, Table]:
        coded = {split: self._coded(table) for split, table in self.inner_tables(context).items()}
        vocabulary = self._vocabulary(*coded["train"])
        return {split: self._pairs(split, *of_split, vocabulary) for split, of_split in coded.items()}

    def row_columns(self, columns: frozenset[str]) -> frozenset[str]:
        return frozenset({self.column})

    def _coded(self, table: Table) -> tuple[np.ndarray, Tokens]:
        """Return the distinct words (texts or token ids) of a table, and its rows as indices of them."""
        values = table.column(self.column)
        kind = column_dtype(values)
        if kind == "string":
            words, tokens = TextVectorization().coded(values_in_memory(table, self.column, "skipgrams").tolist())
            return np.array(words, object), tokens
        rows = Tokens.of(np.asarray(values[slice(None)]))
        if rows.values.dtype.kind not in "iu":
            text = f"skipgrams: expected texts or token ids in the column '{self.column}', got {kind}"
            raise DataError(text, place=table.name or "data")
        words, codes = np.unique(rows.values, return_inverse=True)
        return words.astype(np.int64), Tokens(codes.reshape(-1), rows.lengths)

    def _vocabulary(self, words: np.ndarray, tokens: Tokens) -> np.ndarray:
        """Return the words to use: of texts the most frequent first, of token ids all from 1 on."""
        if words.dtype != object:
            return np.arange(1, self.vocabulary_size or 1 + int(words.max(initial=0)))
        counts = Counter(dict(zip(words.tolist(), np.bincount(tokens.values).tolist(), strict=True)))
        frequent = counts.most_common(self.vocabulary_size and self.vocabulary_size - 1)
        return np.array([word for word, _ in frequent], object)

    def _pairs(self, split: str, words: np.ndarray, tokens: Tokens, vocabulary: np.ndarray) -> Table:
        used = set(vocabulary.tolist())
        is_used = np.array([word in used for word in words.tolist()], bool)[tokens.values]
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
        both = (owners[:-step] == owners[step:]) & is_used[:-step] & is_used[step:]
        place = np.flatnonzero(both)
        pairs += [np.array([place, place + step]), np.array([place + step, place])]
    first, second = np.concatenate(pairs, axis=1)
    order = np.lexsort((second, first))
    return first[order], second[order]
