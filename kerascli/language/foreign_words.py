"""Words of PyTorch, scikit-learn, R and Keras 1 for what kerascli calls otherwise, for hints in error messages."""

from collections.abc import Mapping
from typing import Any

_LAYERS_OF_RANK = {
    "max_pooling_{n}d": "maxpool{n}d",
    "average_pooling_{n}d": "avgpool{n}d",
    "adaptive_max_pooling_{n}d": "adaptivemaxpool{n}d",
    "adaptive_average_pooling_{n}d": "adaptiveavgpool{n}d",
    "conv_{n}d_transpose": "convtranspose{n}d",
    "spatial_dropout_{n}d": "dropout{n}d",
    "zero_padding_{n}d": "zeropad{n}d",
}
_WORDS: Mapping[str, Mapping[str, str]] = {
    "layer": {
        "dense": "linear hidden hiddenlayer fullyconnected fc "
        "mlpclassifier mlpregressor linearregression logisticregression",
        "layer_normalization": "layernorm",
        "group_normalization": "groupnorm",
        "up_sampling_2d": "upsample",
        "reshape": "unflatten",
        "batch_normalization": "batchnorm1d batchnorm2d batchnorm3d",
        **{name.format(n=n): word.format(n=n) for name, word in _LAYERS_OF_RANK.items() for n in (1, 2, 3)},
    },
    "loss": {
        "sparse_categorical_crossentropy": "crossentropyloss nllloss",
        "binary_crossentropy": "bceloss bcewithlogitsloss",
        "mean_squared_error": "mseloss",
        "mean_absolute_error": "l1loss",
        "huber": "smoothl1loss huberloss",
        "kl_divergence": "kldivloss",
        "poisson": "poissonnllloss",
        "crossentropy": "logloss",
    },
    "metric": {"accuracy": "accuracyscore", "auc": "rocauc rocaucscore averageprecisionscore", "f1_score": "f1"},
    "transform": {
        "normalization": "standardscaler",
        "rescaling": "minmaxscaler totensor",
        "string_lookup": "labelencoder ordinalencoder onehotencoder",
        "to_categorical": "labelbinarizer",
        "impute": "simpleimputer",
        "discretization": "kbinsdiscretizer",
        "text_vectorization": "countvectorizer tfidfvectorizer",
    },
    "activation": {"sigmoid": "logistic", "linear": "identity"},
}


def _by_word(words: Mapping[str, str]) -> dict[str, str]:
    """Return a mapping from each foreign word to kerascli's name; `words` maps names to words with spaces between."""
    return {word: name for name, several in words.items() for word in several.split()}


NAMES: Mapping[str, Mapping[str, str]] = {kind: _by_word(words) for kind, words in _WORDS.items()}
"""Mapping from kind of component (`layer` ...) to a mapping from a name in another library (lower case, no underscores)
to kerascli's name."""

ELSEWHERE: Mapping[str, str] = {
    "confusionmatrix": "'kerascli evaluate' draws the confusion matrix",
    "classificationreport": "'kerascli evaluate' prints precision, recall and F1 of each class",
}
"""Mapping from another library's metric (lower case, no underscores) that is no metric here to what has it."""

ALL_COLUMNS = frozenset({"all", "All", "ALL", "*", ":", "everything"})
"""Words for all columns of a table in other tools, which a config lists by name."""

ADDED: Mapping[str, Mapping[str, Any]] = {
    "crossentropyloss": {"from_logits": True},
    "bcewithlogitsloss": {"from_logits": True},
    "averageprecisionscore": {"curve": "PR"},
    "labelencoder": {"num_oov_indices": 0},
    "onehotencoder": {"output_mode": "one_hot"},
    "countvectorizer": {"output_mode": "count"},
    "tfidfvectorizer": {"output_mode": "tf_idf"},
    "logisticregression": {"units": 1, "activation": "sigmoid"},
    "linearregression": {"units": 1},
}
"""Mapping from the name of a layer (loss ...) in another library to the settings that make kerascli's component
equivalent."""

EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "linear": {"units": 64},
    "mlpclassifier": {"units": 64, "activation": "relu"},
    "mlpregressor": {"units": 64, "activation": "relu"},
    "groupnorm": {"groups": 8},
    "unflatten": {"target_shape": [2, 3]},
    "minmaxscaler": {"scale": "$(1/255)"},
    "totensor": {"scale": "$(1/255)"},
    "kbinsdiscretizer": {"num_bins": 10},
}
"""Mapping from the name of a layer (loss ...) in another library to example settings, if kerascli's component has
required ones."""

INPUT_SIZES = frozenset({"layernorm", "batchnorm1d", "batchnorm2d", "batchnorm3d"})
"""Classes of PyTorch (lower case, no underscores) whose first argument is the size of the input, which is inferred."""

KEYS: Mapping[str, str] = _by_word({
    "learning_rate": "lr learning_rate_init",
    "epsilon": "eps",
    "beta_1": "betas",
    "use_bias": "bias",
    "filters": "out_channels",
    "units": "out_features hidden_size hidden neurons hidden_layer_sizes",
    "groups": "num_groups",
    "input_dim": "num_embeddings",
    "output_dim": "embedding_dim",
    "pool_size": "kernel_size",
    "num_bins": "n_bins",
    "strides": "stride",
    "dilation_rate": "dilation",
    "rate": "p",
    "key_dim": "embed_dim",
    "epochs": "nb_epoch num_epochs n_epochs max_iter",
    "seed": "random_state",
    "validation_split": "test_size validation_fraction",
})  # fmt: skip
"""Mapping from the name of an argument in another library to kerascli's name."""

NOTHING = frozenset({"None", "NULL", "nil", "NA", "undefined"})
"""Words for null in other languages (`None`, `NULL` ...), which a config reads as text."""

_SIZES_OF_INPUTS = ("in_channels", "in_features", "input_size", "num_features", "normalized_shape")
NEEDLESS: Mapping[str, str] = {
    **dict.fromkeys(_SIZES_OF_INPUTS, "the size of its input is inferred"),
    "batch_first": "the batch is always the first axis",
    "num_layers": "write the layer as often as it is stacked",
    "bidirectional": "wrap the layer: bidirectional: {layer: {lstm: 64}}",
}
"""Mapping from an argument in another library to the reason why kerascli has no counterpart of it."""
