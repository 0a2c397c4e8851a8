"""Words of PyTorch, scikit-learn and Keras 1 for what has another name here, for hints of errors."""

from collections.abc import Mapping

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
    "linear": "dense: {units: 64}",
    "layernorm": "layer_normalization",
    "groupnorm": "group_normalization: {groups: 8}",
    "upsample": "up_sampling_2d",
    "unflatten": "reshape: [2, 3]",
    **{key.format(n=n): name.format(n=n) for key, name in _OF_RANK.items() for n in (1, 2, 3)},
}
_LOSSES = {
    "crossentropyloss": "sparse_categorical_crossentropy: {from_logits: true}",
    "nllloss": "sparse_categorical_crossentropy",
    "bceloss": "binary_crossentropy",
    "bcewithlogitsloss": "binary_crossentropy: {from_logits: true}",
    "mseloss": "mean_squared_error",
    "l1loss": "mean_absolute_error",
    "smoothl1loss": "huber",
    "huberloss": "huber",
    "kldivloss": "kl_divergence",
    "poissonnllloss": "poisson",
    "logloss": "binary_crossentropy",
}
_METRICS = {
    "accuracyscore": "accuracy",
    "rocauc": "auc",
    "rocaucscore": "auc",
    "averageprecisionscore": "auc: {curve: PR}",
    "f1": "f1_score",
}
NAMES: Mapping[str, Mapping[str, str]] = {"layer": _LAYERS, "loss": _LOSSES, "metric": _METRICS}
"""Kind of component -> name elsewhere, in lower case without underscores -> how it is written in a config."""

KEYS: Mapping[str, str] = {
    "lr": "learning_rate",
    "eps": "epsilon",
    "betas": "beta_1",
    "bias": "use_bias",
    "out_channels": "filters",
    "out_features": "units",
    "hidden_size": "units",
    "num_embeddings": "input_dim",
    "embedding_dim": "output_dim",
    "stride": "strides",
    "dilation": "dilation_rate",
    "p": "rate",
    "embed_dim": "key_dim",
    "nb_epoch": "epochs",
    "num_epochs": "epochs",
    "n_epochs": "epochs",
    "max_iter": "epochs",
    "random_state": "seed",
    "test_size": "test",
}
"""Argument elsewhere -> argument here."""

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
"""Argument elsewhere that has no counterpart -> the reason."""
