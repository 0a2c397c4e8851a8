"""Lookups: their settings, for the layer and the transforms."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field as Setting
from pydantic import model_validator

from kerascli.component import Component
from kerascli.errors import safe_text
from kerascli.preprocessing.categories import ENCODED, Dense
from kerascli.preprocessing.hashing import Salt
from kerascli.shapes import Floats, Ints

OovPlaces = Annotated[int, Setting(ge=0, le=2**20)]
"""Places for unknown values; each has a word of its own among those of the vocabulary."""


class LookupSettings(Component):
    """What all lookups have."""

    max_tokens: Annotated[int, Setting(ge=2, le=2**53)] | None = None
    """The size of the whole, places for unknown values included."""
    num_oov_indices: OovPlaces | None = None
    """Places for unknown values; null: one in inputs, none in targets."""
    mask_token: Any = None
    """The value that stands for 'missing'; it counts as no word."""
    oov_token: Any = None
    """What stands for unknown values where numbers are turned back; it is never learned."""
    vocabulary: Any = None
    """The entries, or a text file with one a line; null: learned. Special tokens at its front are taken off."""
    idf_weights: Floats | None = None
    """What a count of each entry of a given vocabulary is multiplied by, in mode tf_idf."""
    invert: bool = False
    """From numbers of the vocabulary back to its entries."""
    output_mode: Annotated[Literal["int", "one_hot", "multi_hot", "count", "tf_idf"], ENCODED] = "int"
    pad_to_max_tokens: bool = False
    """Vectors are `max_tokens` long even where the vocabulary is smaller."""
    sparse: Dense = False

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.pad_to_max_tokens and self.max_tokens is None:
            raise ValueError("pad_to_max_tokens needs 'max_tokens'")
        if self.invert and self.output_mode != "int":
            raise ValueError(f"'invert' goes with output_mode int, got {self.output_mode}")
        if self.invert and self.vocabulary is None:
            raise ValueError("'invert' needs a 'vocabulary'")
        if self.idf_weights is not None and self.output_mode != "tf_idf":
            raise ValueError(f"'idf_weights' goes with output_mode tf_idf, got {self.output_mode}")
        if self.output_mode == "tf_idf" and (self.idf_weights is None) != (self.vocabulary is None):
            raise ValueError("in output_mode tf_idf give 'vocabulary' and 'idf_weights' both, or neither")
        if isinstance(self.vocabulary, tuple):
            check_vocabulary(self.entries(self.vocabulary), self.mask_token, self.oov_token if self.invert else None)
        return self

    def entries(self, written: Sequence[Any]) -> Sequence[Any]:
        """A vocabulary without the mask token and the places for unknown values, if it begins with them."""
        special = [*[self.mask_token] * self.masks(), *[self.oov_token] * self.places()]
        return written[len(special) :] if list(written[: len(special)]) == special else written

    def places(self, *, target: bool = False) -> int:
        """How many indices unknown values have; in targets none, unless they are asked for."""
        if self.num_oov_indices is None:
            return 0 if target else 1
        return self.num_oov_indices

    def masks(self) -> int:
        """1 where the mask token has an index of its own; in the other modes a masked value is dropped, as in Keras."""
        return int(self.mask_token is not None and self.output_mode == "int")

    def first(self, *, target: bool = False) -> int:
        """The index of the vocabulary's first entry."""
        return self.masks() + self.places(target=target)

    def inverse(self, entries: Sequence[Any], nothing: Any) -> list[Any]:
        """What each index is turned back into, and at the end what no index is; `nothing` where there is no token."""
        unknown = nothing if self.oov_token is None else self.oov_token
        mask = [] if self.mask_token is None else [self.mask_token]
        return [*mask, *[unknown] * self.places(), *entries, unknown]


class IntegerLookupSettings(LookupSettings):
    """For categories that are numbers themselves."""

    mask_token: int | None = None
    oov_token: int | None = -1
    vocabulary: str | Ints | None = None
    vocabulary_dtype: Literal["int64"] = "int64"
    """Keras knows this type alone."""
    oov_method: Literal["floormod", "farmhash"] = "floormod"
    """Of several places for unknown numbers the choice: the remainder of a division, or a hash."""
    salt: Salt | None = None
    """With farmhash: choose by SipHash with this key instead."""

    @model_validator(mode="after")
    def _salted(self) -> Self:
        if self.salt is not None and self.oov_method != "farmhash":
            raise ValueError("'salt' goes with oov_method farmhash")
        return self


def check_vocabulary(entries: Sequence[Any], *special: Any) -> None:
    """Raises ValueError if there are none, one stands twice, or a special token is among them."""
    if not entries:
        raise ValueError("vocabulary: expected at least one entry")
    twice, times = Counter(entries).most_common(1)[0]
    if times > 1:
        raise ValueError(f"vocabulary: '{safe_text(str(twice), 40)}' stands twice")
    for token in special:
        if token is not None and token in entries:
            raise ValueError(f"vocabulary: the special token '{safe_text(str(token), 40)}' is among the entries")
