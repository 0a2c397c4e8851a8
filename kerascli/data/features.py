"""The kinds of features that a feature_space is made of: what is done to a column, and how it enters the vector."""

from functools import partial
from typing import Annotated, Literal

from pydantic import Field as Setting

from kerascli.data.base import FEATURES, TRANSFORMS, Feature, Transform
from kerascli.data.transforms.cast import Cast
from kerascli.data.transforms.discretization import Discretization
from kerascli.data.transforms.hashing import Hashing
from kerascli.data.transforms.integer_lookup import IntegerLookup
from kerascli.data.transforms.normalization import Normalization
from kerascli.data.transforms.rescaling import Rescaling
from kerascli.data.transforms.string_lookup import StringLookup
from kerascli.preprocessing.categories import ENCODED
from kerascli.preprocessing.lookup import OovPlaces
from kerascli.shapes import Floats, PositiveInt

Encoding = Annotated[Literal["int", "one_hot"], ENCODED]


@FEATURES.register
class Float(Feature):
    """Numbers as they are."""

    def transform(self, bins: int) -> Transform:
        return Cast(dtype="float32")


@FEATURES.register
class FloatRescaled(Feature):
    """Numbers, multiplied and shifted."""

    scale: float = 1.0
    """What values are multiplied by."""
    offset: float = 0.0
    """What is added after that."""

    def transform(self, bins: int) -> Transform:
        return Rescaling(scale=self.scale, offset=self.offset)


@FEATURES.register
class FloatNormalized(Feature):
    """Numbers with mean 0 and variance 1 in the training rows."""

    def transform(self, bins: int) -> Transform:
        return Normalization()


@FEATURES.register
class FloatDiscretized(Feature):
    """Numbers in bins of about equal counts, or between boundaries."""

    num_bins: Annotated[int, Setting(ge=2, le=2**20)] | None = None
    """How many bins; null: what the feature space says."""
    bin_boundaries: Floats | None = None
    """Where one bin ends and the next begins."""
    output_mode: Encoding = "one_hot"

    def transform(self, bins: int) -> Transform:
        learned = self.bin_boundaries is None
        return Discretization(num_bins=(self.num_bins or bins) if learned else None, bin_boundaries=self.bin_boundaries)

    def encoding(self) -> str:
        return self.output_mode


class Categorical(Feature):
    """What the lookups share."""

    max_tokens: Annotated[int, Setting(ge=2, le=2**53)] | None = None
    """The size of the vocabulary, places for unknown values included."""
    num_oov_indices: OovPlaces = 1
    """Places for unknown values."""
    output_mode: Encoding = "one_hot"

    def encoding(self) -> str:
        return self.output_mode


@FEATURES.register
class IntegerCategorical(Categorical):
    """Whole numbers by their places in a vocabulary."""

    def transform(self, bins: int) -> Transform:
        return IntegerLookup(max_tokens=self.max_tokens, num_oov_indices=self.num_oov_indices)


@FEATURES.register
class StringCategorical(Categorical):
    """Words by their places in a vocabulary."""

    def transform(self, bins: int) -> Transform:
        return StringLookup(max_tokens=self.max_tokens, num_oov_indices=self.num_oov_indices)


class Hashed(Feature):
    """What the hashes share."""

    default_bins = "hashing_dim"

    num_bins: PositiveInt | None = None
    """How many numbers there are; null: what the feature space says."""
    output_mode: Encoding = "one_hot"

    def transform(self, bins: int) -> Transform:
        return Hashing(num_bins=self.num_bins or bins)

    def encoding(self) -> str:
        return self.output_mode


@FEATURES.register
class IntegerHashed(Hashed):
    """Whole numbers by their hashes."""


@FEATURES.register
class StringHashed(Hashed):
    """Words by their hashes."""


@partial(FEATURES.register, name="feature", aliases=("custom",))
class Custom(Feature):
    """What a transform of your choice makes of the column."""

    preprocessor: Annotated[Transform, TRANSFORMS.field()]
    """The transform."""
    output_mode: Annotated[Literal["int", "one_hot", "float"], ENCODED] = "float"

    def transform(self, bins: int) -> Transform:
        return self.preprocessor

    def encoding(self) -> str:
        return self.output_mode
