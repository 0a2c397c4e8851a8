"""Feature types of the transform `feature_space`: the transform of a column, and its encoding in the output vector."""

from functools import partial
from typing import Annotated, Literal

from kerascli.data.base import FEATURES, TRANSFORMS, Feature, Transform
from kerascli.data.transforms.conversions import Cast
from kerascli.data.transforms.text_lookups import StringLookup
from kerascli.features.discretization import Bins, DiscretizationTransform
from kerascli.features.hashing import HashingTransform
from kerascli.features.integer_lookup import IntegerLookupTransform
from kerascli.features.normalization import NormalizationTransform
from kerascli.features.rescaling import RescalingTransform
from kerascli.foundation.shapes import Floats, PositiveInt
from kerascli.preprocessing.categories import ENCODED, MostTokens, OovPlaces

Encoding = Annotated[Literal["int", "one_hot"], ENCODED]


@FEATURES.register
class Float(Feature):
    """Numeric feature cast to float32, as FeatureSpace.float."""

    def transform(self, bins: int) -> Transform:
        return Cast(dtype="float32")


@FEATURES.register
class FloatRescaled(Feature):
    """Numeric feature rescaled to `x * scale + offset`, as FeatureSpace.float_rescaled."""

    scale: float = 1.0
    """Factor by which the values are multiplied."""
    offset: float = 0.0
    """Offset added after scaling."""

    def transform(self, bins: int) -> Transform:
        return RescalingTransform(scale=self.scale, offset=self.offset)


@FEATURES.register
class FloatNormalized(Feature):
    """Numeric feature normalized to mean 0 and variance 1 on the training rows, as FeatureSpace.float_normalized."""

    def transform(self, bins: int) -> Transform:
        return NormalizationTransform()


@FEATURES.register
class FloatDiscretized(Feature):
    """Numeric feature bucketed into quantile bins, or between boundaries, as FeatureSpace.float_discretized."""

    num_bins: Bins | None = None
    """Number of quantile bins; null: the feature space's `num_discretization_bins`."""
    bin_boundaries: Floats | None = None
    """Boundaries between the bins, in ascending order; null: quantiles of the training rows."""
    output_mode: Encoding = "one_hot"
    """Encoding of the feature in the output vector: one_hot, or int if only feature crosses use it."""

    def transform(self, bins: int) -> Transform:
        number = (self.num_bins or bins) if self.bin_boundaries is None else None
        return DiscretizationTransform(num_bins=number, bin_boundaries=self.bin_boundaries)


class Categorical(Feature):
    """Base class of the feature types with a vocabulary (`integer_categorical`, `string_categorical`)."""

    max_tokens: MostTokens | None = None
    """Maximum size of the vocabulary, including out-of-vocabulary (OOV) indices; null: no limit."""
    num_oov_indices: OovPlaces = 1
    """Number of out-of-vocabulary (OOV) indices."""
    output_mode: Encoding = "one_hot"
    """Encoding of the feature in the output vector: one_hot, or int if only feature crosses use it."""


@FEATURES.register
class IntegerCategorical(Categorical):
    """Integer categories by their index in a learned vocabulary, as FeatureSpace.integer_categorical."""

    def transform(self, bins: int) -> Transform:
        return IntegerLookupTransform(max_tokens=self.max_tokens, num_oov_indices=self.num_oov_indices)


@FEATURES.register
class StringCategorical(Categorical):
    """String categories by their index in a learned vocabulary, as FeatureSpace.string_categorical."""

    def transform(self, bins: int) -> Transform:
        return StringLookup(max_tokens=self.max_tokens, num_oov_indices=self.num_oov_indices)


class Hashed(Feature):
    """Base class of the hashed feature types (`integer_hashed`, `string_hashed`)."""

    default_bins = "hashing_dim"

    num_bins: PositiveInt | None = None
    """Number of hash bins; null: the feature space's `hashing_dim`."""
    output_mode: Encoding = "one_hot"
    """Encoding of the feature in the output vector: one_hot, or int if only feature crosses use it."""

    def transform(self, bins: int) -> Transform:
        return HashingTransform(num_bins=self.num_bins or bins)


@FEATURES.register
class IntegerHashed(Hashed):
    """Integer categories hashed into bins, as FeatureSpace.integer_hashed."""


@FEATURES.register
class StringHashed(Hashed):
    """String categories hashed into bins, as FeatureSpace.string_hashed."""


@partial(FEATURES.register, name="feature", aliases=("custom",))
class Custom(Feature):
    """Feature preprocessed by any transform, as FeatureSpace.feature."""

    preprocessor: Annotated[Transform, TRANSFORMS.field()]
    """Transform applied to the column."""
    output_mode: Annotated[Literal["int", "one_hot", "float"], ENCODED] = "float"
    """Encoding in the output vector: float (unchanged), one_hot (of integers), or int (only for feature crosses)."""

    def transform(self, bins: int) -> Transform:
        return self.preprocessor
