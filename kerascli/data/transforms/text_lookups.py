"""Transforms `string_lookup` and `text_vectorization`: texts, or their tokens, as indices of a vocabulary."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import repeat
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import BeforeValidator, model_validator
from torch import Tensor

from kerascli.data.base import Field, FittedState, Transform, transform
from kerascli.data.storage.blocks import Blocks
from kerascli.data.storage.column import Texts, pa
from kerascli.data.storage.tokens import Counted, Tokens
from kerascli.data.text.oov import LookedUp
from kerascli.data.text.tokenization import Tokenizer
from kerascli.data.transforms.input_checks import need_text
from kerascli.data.transforms.lookup import Lookup
from kerascli.foundation.shapes import Floats, PositiveInt, Words, to_tuple
from kerascli.preprocessing.categories import UNKNOWN, Dense, MostTokens
from kerascli.preprocessing.hashing import Salt, buckets


@transform()
class StringLookup(Lookup):
    """Maps strings to vocabulary indices or vectors, or back with `invert`, as keras.layers.StringLookup.

    The vocabulary is given, or learned from the training rows in order of frequency. Out-of-vocabulary (OOV) strings
    get index 0 by default; in targets they are an error, and the vocabulary is sorted.
    """

    takes_text = True
    entry_noun = "string"

    mask_token: str | None = None
    oov_token: str | None = "[UNK]"
    vocabulary: str | Words | None = None
    encoding: Literal["utf-8"] = "utf-8"
    """Text encoding, as in Keras's signature; only utf-8 is possible, since the data source decodes the text."""
    salt: Salt | None = None
    """Key of SipHash, which picks one of several OOV indices for a string; null: FarmHash picks it."""

    positive: str | None = None
    """Class of a binary target that counts as positive: a single output unit predicts its probability.
    null: the last class in sorted order."""

    def codes(self, values: "pa.Array", state: FittedState, *, target: bool) -> Tensor:
        return torch.from_numpy(self.indices(values.to_pylist(), state, target=target))

    def indices(self, words: Sequence[str], state: FittedState, *, target: bool = False) -> np.ndarray:
        """Return the vocabulary index of each string."""
        table, places = self.table(state, target=target), self.places(target=target)
        indices = np.fromiter(map(table.get, words, repeat(UNKNOWN)), np.int64, len(words))
        if places and (unknown := np.flatnonzero(indices == UNKNOWN)).size:
            texts = [words[index].encode() for index in unknown.tolist()] if places > 1 else ()
            indices[unknown] = self.masks() + (buckets(texts, places, self.salt).numpy() if places > 1 else 0)
        return indices

    def rewritten(self, values: Texts | np.ndarray, field: Field, state: FittedState) -> Texts:
        """Return the vocabulary's entries for rows of indices, with `invert`."""
        assert isinstance(values, np.ndarray)
        entries = self.inverted_entries(state.facts["vocabulary"], "")
        last = len(entries) - 1
        return Texts.of(entries, np.where((values >= 0) & (values < last), values, last))


@transform()
class TextVectorization(Transform):
    """Splits texts into tokens and maps them to token ids (length,), or each text to a vector (vocabulary size,).

    As keras.layers.TextVectorization on TensorFlow: lower case and whitespace are those of ASCII, id 0 is padding, id 1
    an out-of-vocabulary token; a learned vocabulary is in order of frequency. Without `output_sequence_length`, rows
    have the length of the longest training text, and longer texts are truncated.
    """

    takes_text = True
    splits_values = True
    paths = ("vocabulary",)
    not_in_onnx = "to replace characters: StringNormalizer's lower case is not ASCII's, and it keeps punctuation"

    max_tokens: MostTokens | None = None
    """Maximum size of the vocabulary, including the ids of padding and out-of-vocabulary tokens; null: no limit."""
    standardize: Literal["lower_and_strip_punctuation", "lower", "strip_punctuation"] | None = (
        "lower_and_strip_punctuation"
    )
    """Standardization before splitting: lower case, removal of punctuation, or both; null: none."""
    split: Literal["whitespace", "character"] | None = "whitespace"
    """Split at whitespace, or into characters; null: no splitting, each text (or element of a row) is one token."""
    ngrams: Annotated[PositiveInt | tuple[PositiveInt, ...], BeforeValidator(to_tuple)] | None = None
    """N-gram sizes: an integer n for 1 to n tokens, a list for exactly these sizes; null: single tokens."""
    output_mode: Literal["int", "multi_hot", "count", "frequency", "tf_idf"] = "int"
    """int: token ids. multi_hot, count, frequency (a token's share), tf_idf: vectors over the vocabulary."""
    output_sequence_length: PositiveInt | None = None
    """Number of tokens to pad or truncate to, in mode int; null: the number of tokens of the longest training text."""
    pad_to_max_tokens: bool = False
    """Pad vectors to `max_tokens` even if the vocabulary is smaller."""
    vocabulary: str | Words | None = None
    """List of tokens, or a text file with one token per line; null: learned. Leading special tokens are removed."""
    idf_weights: Floats | None = None
    """Inverse document frequency of each token of a given vocabulary; multiplies the counts in mode tf_idf."""
    sparse: Dense = False
    ragged: bool = False
    """Keep the sequences' own lengths, in mode int, for a `pad_sequences` step after this one."""
    encoding: Literal["utf-8"] = "utf-8"
    """Text encoding, as in Keras's signature; only utf-8 is possible, since the data source decodes the text."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.output_sequence_length is not None and self.output_mode != "int":
            raise ValueError(f"'output_sequence_length' requires output_mode int, got {self.output_mode}")
        if self.ragged and (self.output_mode != "int" or self.output_sequence_length is not None):
            raise ValueError("'ragged' requires output_mode int, without output_sequence_length")
        assert self.lookup  # validates the lookup's settings here
        return self

    @cached_property
    def lookup(self) -> StringLookup:
        """Lookup that maps tokens to token ids, with this transform's settings."""
        return StringLookup(
            max_tokens=self.max_tokens, num_oov_indices=1, mask_token="", vocabulary=self.vocabulary,
            idf_weights=self.idf_weights, pad_to_max_tokens=self.pad_to_max_tokens,
            output_mode="count" if self.output_mode == "frequency" else self.output_mode,
        )  # fmt: skip

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        need_text(field)
        single = field.shape in ((), (1,))
        if self.split is not None and not single:
            text = f"splits one text per row, got shape {field.shape}"
            raise ValueError(f"{text}; for text that is already split, set split: null")
        if self.ngrams is not None and not single:
            raise ValueError(f"joins the tokens of one text to ngrams, got rows of shape {field.shape}")
        words = self.lookup.infer(Field((None,), "string"), state, target=False)
        known = replace(words, num_classes=words.vocabulary_size if target else None)
        if self.output_mode != "int":
            return known
        if self.ragged:
            return replace(known, shape=(None,), dtype="sequence")
        longest = self.output_sequence_length or (None if state is None else state.facts["max_length"])
        return replace(known, shape=(longest,), max_length=longest)

    def fit(self, rows: Blocks, field: Field, *, target: bool) -> FittedState:
        lengths: list[int] = []

        def parts() -> Iterator[Counted]:
            for texts in rows:
                words, tokens = self.coded(texts.words)
                times = texts.counts() if texts.codes.ndim == 1 else None
                tokens = tokens if times is not None else texts.expanded(tokens)
                lengths.append(tokens.longest())
                yield words, tokens, times

        state = self.lookup.fit_tokens(parts(), target=False)
        if self.output_mode != "int" or self.output_sequence_length is not None or self.ragged:
            return state
        longest = max(lengths or (tokens.longest() for _, tokens, _ in parts()))
        if not longest:
            raise ValueError("no text has any tokens")
        return replace(state, facts={**state.facts, "max_length": longest})

    def codes(self, values: "pa.Array", state: FittedState, *, target: bool) -> Tokens:
        words, tokens = self.coded(values)
        return Tokens(self.lookup.indices(words, state)[tokens.values], tokens.lengths)

    def looked_up(self, codes: Tensor, state: FittedState, *, target: bool) -> LookedUp | None:
        counted = self.lookup.looked_up(codes, state, target=False)
        return counted and counted._replace(vocabulary=counted.vocabulary._replace(noun="words"))

    def sequences(self, tokens: Tokens, field: Field, state: FittedState) -> Tensor | Tokens:
        if self.output_mode != "int":
            vectors = self.lookup.sequences(tokens, field, state)
            return (
                vectors.div_(vectors.sum(-1, keepdim=True).clamp(min=1)) if self.output_mode == "frequency" else vectors
            )
        if self.ragged:
            return tokens
        width = self.output_sequence_length or state.facts["max_length"]
        return torch.from_numpy(tokens.truncated(width).padded(width))

    @property
    def tokenizer(self) -> Tokenizer:
        """Tokenizer with this transform's settings."""
        widths = range(1, self.ngrams + 1) if isinstance(self.ngrams, int) else self.ngrams or ()
        return Tokenizer(self.standardize, self.split, widths)

    def tokens(self, text: str) -> list[str]:
        """Standardize and split a text; return its tokens."""
        return [token for tokens, _ in self.tokenizer.tokens(pa.array([text])) for token in tokens.to_pylist()]

    def coded(self, texts: "pa.Array") -> tuple[list[str], Tokens]:
        """Standardize and split texts; return the distinct tokens, and the rows as indices among them."""
        none = pa.array([], pa.large_string()), np.empty(0, np.int64)
        tokens, counts = zip(none, *self.tokenizer.tokens(texts), strict=True)
        encoded: Any = pa.concat_arrays(tokens).dictionary_encode()
        return encoded.dictionary.to_pylist(), Tokens(encoded.indices.to_numpy(), np.concatenate(counts))
