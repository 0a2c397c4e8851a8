"""Words of PyTorch, scikit-learn, R and Keras 1 for what kerascli calls otherwise, for hints in error messages."""

from collections.abc import Mapping
from typing import Any

_OF_RANK = {
    "maxpool{n}d": "max_pooling_{n}d",
    "avgpool{n}d": "average_pooling_{n}d",
    "adaptivemaxpool{n}d": "adaptive_max_pooling_{n}d",
    "adaptiveavgpool{n}d": "adaptive_average_pooling_{n}d",
    "convtranspose{n}d": "conv_{n}d_transpose",
    "batchnorm{n}d": "batch_normalization",
    "dropout{n}d": "spatial_dropout_{n}d",
    "zeropad{n}d": "zero_padding_{n}d",
}
_LAYERS = {
    "linear": "dense",
    "hidden": "dense",
    "hiddenlayer": "dense",
    "fullyconnected": "dense",
    "fc": "dense",
    "layernorm": "layer_normalization",
    "groupnorm": "group_normalization",
    "upsample": "up_sampling_2d",
    "unflatten": "reshape",
    "mlpclassifier": "dense",
    "mlpregressor": "dense",
    "linearregression": "dense",
    "logisticregression": "dense",
    **{key.format(n=n): name.format(n=n) for key, name in _OF_RANK.items() for n in (1, 2, 3)},
}
_LOSSES = {
    "crossentropyloss": "sparse_categorical_crossentropy",
    "nllloss": "sparse_categorical_crossentropy",
    "bceloss": "binary_crossentropy",
    "bcewithlogitsloss": "binary_crossentropy",
    "mseloss": "mean_squared_error",
    "l1loss": "mean_absolute_error",
    "smoothl1loss": "huber",
    "huberloss": "huber",
    "kldivloss": "kl_divergence",
    "poissonnllloss": "poisson",
    "logloss": "crossentropy",
}
_METRICS = {
    "accuracyscore": "accuracy",
    "rocauc": "auc",
    "rocaucscore": "auc",
    "averageprecisionscore": "auc",
    "f1": "f1_score",
}
_TRANSFORMS = {
    "standardscaler": "normalization",
    "minmaxscaler": "rescaling",
    "totensor": "rescaling",
    "labelencoder": "string_lookup",
    "ordinalencoder": "string_lookup",
    "onehotencoder": "string_lookup",
    "labelbinarizer": "to_categorical",
    "simpleimputer": "impute",
    "kbinsdiscretizer": "discretization",
    "countvectorizer": "text_vectorization",
    "tfidfvectorizer": "text_vectorization",
}
NAMES: Mapping[str, Mapping[str, str]] = {
    "layer": _LAYERS,
    "loss": _LOSSES,
    "metric": _METRICS,
    "transform": _TRANSFORMS,
    "activation": {"logistic": "sigmoid", "identity": "linear"},
}
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

KEYS: Mapping[str, str] = {
    "lr": "learning_rate",
    "learning_rate_init": "learning_rate",
    "eps": "epsilon",
    "betas": "beta_1",
    "bias": "use_bias",
    "out_channels": "filters",
    "out_features": "units",
    "hidden_size": "units",
    "hidden": "units",
    "neurons": "units",
    "hidden_layer_sizes": "units",
    "num_groups": "groups",
    "num_embeddings": "input_dim",
    "embedding_dim": "output_dim",
    "kernel_size": "pool_size",
    "n_bins": "num_bins",
    "stride": "strides",
    "dilation": "dilation_rate",
    "p": "rate",
    "embed_dim": "key_dim",
    "nb_epoch": "epochs",
    "num_epochs": "epochs",
    "n_epochs": "epochs",
    "max_iter": "epochs",
    "random_state": "seed",
    "test_size": "validation_split",
    "validation_fraction": "validation_split",
}
"""Mapping from the name of an argument in another library to kerascli's name."""

NOTHING = frozenset({"None", "NULL", "nil", "NA", "undefined"})
"""Words for null in other languages (`None`, `NULL` ...), which a config reads as text."""

INFERRED = "the size of its input is inferred"
NEEDLESS: Mapping[str, str] = {
    "in_channels": INFERRED,
    "in_features": INFERRED,
    "input_size": INFERRED,
    "num_features": INFERRED,
    "normalized_shape": INFERRED,
    "batch_first": "the batch is always the first axis",
    "num_layers": "write the layer as often as it is stacked",
    "bidirectional": "wrap the layer: bidirectional: {layer: {lstm: 64}}",
}
"""Mapping from an argument in another library to the reason why kerascli has no counterpart of it."""
