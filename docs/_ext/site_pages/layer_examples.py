"""Further examples of layers: a layer has its first one itself; the site shows them all, and tests run them all."""

from collections.abc import Mapping

from kerascli.layers.base import BaseLayer, Example


def examples_of(layer: type[BaseLayer]) -> tuple[Example, ...]:
    """Return all examples of a layer, those of its base class if it has none of its own: the first one, then others."""
    owner = next(base for base in reversed(layer.__mro__) if base.__dict__.get("examples") is layer.examples)
    is_own = owner.__module__.startswith("kerascli.")
    return (*layer.examples, *(_FURTHER.get(owner.__name__, ()) if is_own else ()))


_FURTHER: Mapping[str, tuple[Example, ...]] = {
    "CategoryEncoding": (
        Example(input=(3,), output=(3, 10), config={"num_tokens": 10, "output_mode": "one_hot"}, dtype="int64"),
        Example(input=(4, 3), output=(4, 10), config={"num_tokens": 10, "output_mode": "count"}, dtype="int64"),
    ),
    "Discretization": (
        Example(input=(4,), output=(4, 3), config={"bin_boundaries": [0.0, 1.0], "output_mode": "one_hot"}),
        Example(input=(4,), output=(3,), config={"bin_boundaries": [0.0, 1.0], "output_mode": "count"}),
    ),
    "Hashing": (
        Example(
            input=(3,), output=(3, 10), config={"num_bins": 10, "output_mode": "one_hot", "salt": 3}, dtype="int64"
        ),
        Example(
            input=(3,), output=(8,), config={"num_bins": 8, "output_mode": "count", "mask_value": 0}, dtype="int64"
        ),
    ),
    "HashedCrossing": (
        Example(input=[(), (), ()], output=(6,), config={"num_bins": 6, "output_mode": "one_hot"}, dtype="int64"),
    ),
    "IntegerLookup": (
        Example(input=(3,), output=(4,), config={"vocabulary": [1, 5, 2], "output_mode": "multi_hot"}, dtype="int64"),
        Example(input=(3,), output=(3,), config={"vocabulary": [10, 20, 30], "invert": True}, dtype="int64"),
    ),
    "Normalization": (
        Example(input=(3,), output=(3,), config={"axis": None, "mean": 0.5, "variance": 2.0, "invert": True}),
        Example(input=(2, 3), output=(2, 3), config={"axis": 1, "mean": [1.0, 2.0], "variance": [1.0, 4.0]}),
    ),
    "Rescaling": (
        Example(input=(8, 6, 3), output=(8, 6, 3), config={"scale": [2.0, 0.5, 1.0], "offset": [-1.0, 0.0, 0.5]}),
    ),
    "Activation": (Example(input=(5, 8), output=(5, 4), config={"activation": "glu"}),),
    "PReLU": (Example(input=(4, 4, 3), output=(4, 4, 3), config={"shared_axes": [1, 2]}),),
    "ReLU": (
        Example(input=(4, 4, 3), output=(4, 4, 3), config={"max_value": 6.0, "negative_slope": 0.1, "threshold": 0.2}),
    ),
    "ThresholdedReLU": (Example(input=(5, 8), output=(5, 8), config={"theta": 0.5}),),
    "ELU": (Example(input=(5, 8), output=(5, 8), config={"alpha": 0.3}),),
    "Softmax": (
        Example(input=(4, 3), output=(4, 3), config={"axis": 1}),
        Example(input=(4, 3), output=(4, 3), config={"axis": [1, 2]}),
    ),
    "AdditiveAttention": (Example(input=[(4, 6), (5, 3), (5, 6)], output=(4, 3), config={"use_scale": False}),),
    "Attention": (
        Example(input=[(4, 6), (5, 3), (5, 6)], output=(4, 3), config={"use_scale": True, "score_mode": "concat"}),
    ),
    "MultiHeadAttention": (
        Example(
            input=[(4, 6), (5, 7), (5, 8)],
            output=(4, 3),
            config={
                "num_heads": 2,
                "key_dim": 3,
                "value_dim": 5,
                "output_shape": 3,
                "use_bias": False,
                "use_gate": True,
            },
        ),
        Example(
            input=[(2, 4, 6), (2, 5, 6)],
            output=(2, 4, 6),
            config={
                "num_heads": 2,
                "key_dim": 3,
                "attention_axes": 2,
            },
        ),
    ),
    "GroupQueryAttention": (
        Example(
            input=[(4, 6), (5, 6), (5, 6)],
            output=(4, 6),
            config={
                "head_dim": 3,
                "num_query_heads": 2,
                "num_key_value_heads": 1,
                "use_gate": True,
                "sliding_window": 3,
            },
        ),
    ),
    "Conv1DTranspose": (
        Example(input=(8, 4), output=(16, 6), config={"filters": 6, "kernel_size": 3, "strides": 2, "padding": "same"}),
    ),
    "Conv2DTranspose": (
        Example(
            input=(5, 4, 4),
            output=(12, 12, 2),
            config={"filters": 2, "kernel_size": 3, "strides": [2, 3], "output_padding": [1, 0]},
        ),
    ),
    "Conv3DTranspose": (Example(input=(2, 3, 4, 2), output=(4, 5, 6, 3), config={"filters": 3, "kernel_size": 3}),),
    "Conv1D": (
        Example(
            input=(10, 4), output=(5, 6), config={"filters": 6, "kernel_size": 4, "strides": 2, "padding": "causal"}
        ),
    ),
    "Conv2D": (
        Example(
            input=(8, 7, 4),
            output=(4, 3, 6),
            config={"filters": 6, "kernel_size": [4, 3], "strides": [2, 3], "padding": "same", "groups": 2},
        ),
        Example(
            input=(3, 8, 8),
            output=(2, 4, 4),
            config={"filters": 2, "kernel_size": 3, "dilation_rate": 2, "data_format": "channels_first"},
        ),
    ),
    "Conv3D": (
        Example(
            input=(6, 5, 4, 2),
            output=(3, 3, 2, 4),
            config={"filters": 4, "kernel_size": [3, 2, 4], "strides": 2, "padding": "same", "groups": 2},
        ),
    ),
    "DepthwiseConv1D": (
        Example(
            input=(10, 4),
            output=(5, 8),
            config={"kernel_size": 3, "strides": 2, "padding": "same", "depth_multiplier": 2},
        ),
    ),
    "DepthwiseConv2D": (
        Example(
            input=(8, 7, 3),
            output=(4, 4, 6),
            config={"kernel_size": 3, "strides": 2, "padding": "same", "depth_multiplier": 2},
        ),
    ),
    "SeparableConv1D": (
        Example(
            input=(10, 4), output=(5, 6), config={"filters": 6, "kernel_size": 3, "strides": 2, "padding": "causal"}
        ),
    ),
    "SeparableConv2D": (
        Example(
            input=(8, 7, 3),
            output=(4, 4, 5),
            config={"filters": 5, "kernel_size": 3, "strides": 2, "padding": "same", "depth_multiplier": 2},
        ),
    ),
    "LocallyConnected1D": (
        Example(input=(10, 4), output=(4, 6), config={"filters": 6, "kernel_size": 4, "strides": 2, "use_bias": False}),
    ),
    "LocallyConnected2D": (
        Example(
            input=(3, 6, 5),
            output=(4, 2, 2),
            config={"filters": 4, "kernel_size": [4, 2], "strides": [2, 3], "data_format": "channels_first"},
        ),
    ),
    "Dense": (Example(input=(5, 8), output=(5, 4), config={"units": 4, "use_bias": False}),),
    "EinsumDense": (
        Example(
            input=(5, 8),
            output=(5, 2, 3),
            config={
                "equation": "abc,cde->abde",
                "output_shape": [None, 2, 3],
                "bias_axes": "de",
                "activation": "relu",
            },
        ),
        Example(input=(5, 8), output=(5, 4), config={"equation": "...x,xy->...y", "output_shape": 4, "bias_axes": "y"}),
        Example(input=(5, 8, 3), output=(6, 8, 3), config={"equation": "ab...,bc->ac...", "output_shape": 6}),
    ),
    "Embedding": (
        Example(input=(5,), output=(5, 4), config={"input_dim": 10, "output_dim": 4, "mask_zero": True}, dtype="int64"),
    ),
    "Expr": (
        Example(input=[(4, 3), (4, 3)], output=(4,), config={"value": "sqrt(sum(square(a - b), axis=-1))"}),
        Example(input=(6,), output=[(3,), (3,)], config={"value": "split(prev, 2, axis=-1)"}),
    ),
    "Weight": (Example(input=[], output=(), config={"shape": [], "initializer": "ones", "constraint": "non_neg"}),),
    "ElementwiseMerge": (Example(input=[(5, 4), (4,)], output=(5, 4)),),
    "Concatenate": (Example(input=[(2, 4), (3, 4), (1, 4)], output=(6, 4), config={"axis": 1}),),
    "Dot": (
        Example(input=[(5, 4), (3, 4)], output=(5, 3), config={"axes": [2, 2]}),
        Example(input=[(5, 4), (5,)], output=(4,), config={"axes": [1, 1], "normalize": True}),
    ),
    "Add": (Example(input=[(5, 4), (4,), (1, 4)], output=(5, 4)),),
    "Average": (Example(input=[(5, 4), (4,)], output=(5, 4)),),
    "BatchNormalization": (
        Example(input=(4, 4, 3), output=(4, 4, 3), config={"momentum": 0.9, "scale": False}),
        Example(input=(3, 4, 4), output=(3, 4, 4), config={"axis": 1}),
        Example(input=(8,), output=(8,), config={"renorm": True, "renorm_clipping": {"rmax": 3.0, "dmax": 5.0}}),
    ),
    "GroupNormalization": (Example(input=(6, 4), output=(6, 4), config={"groups": -1, "axis": 1, "scale": False}),),
    "LayerNormalization": (
        Example(input=(5, 4, 3), output=(5, 4, 3), config={"axis": [2, 3], "center": False}),
        Example(input=(5, 4, 3), output=(5, 4, 3), config={"axis": 1}),
    ),
    "RMSNormalization": (Example(input=(5, 4, 3), output=(5, 4, 3), config={"axis": [1, 3]}),),
    "UnitNormalization": (Example(input=(5, 4, 3), output=(5, 4, 3), config={"axis": [1, 3]}),),
    "AdaptivePooling1D": (
        Example(input=(3, 7), output=(3, 5), config={"output_size": 5, "data_format": "channels_first"}),
    ),
    "AdaptivePooling2D": (
        Example(input=(3, 7, 8), output=(3, 5, 2), config={"output_size": [5, 2], "data_format": "channels_first"}),
    ),
    "AdaptivePooling3D": (
        Example(
            input=(2, 4, 5, 6), output=(2, 3, 2, 4), config={"output_size": [3, 2, 4], "data_format": "channels_first"}
        ),
    ),
    "GlobalPooling1D": (
        Example(input=(3, 8), output=(3, 1), config={"data_format": "channels_first", "keepdims": True}),
    ),
    "GlobalPooling2D": (
        Example(input=(3, 8, 8), output=(3, 1, 1), config={"data_format": "channels_first", "keepdims": True}),
    ),
    "GlobalPooling3D": (
        Example(input=(2, 4, 5, 6), output=(2, 1, 1, 1), config={"data_format": "channels_first", "keepdims": True}),
    ),
    "Pooling1D": (Example(input=(7, 3), output=(4, 3), config={"pool_size": 3, "strides": 2, "padding": "same"}),),
    "Pooling2D": (
        Example(input=(7, 8, 3), output=(4, 4, 3), config={"pool_size": 3, "strides": 2, "padding": "same"}),
    ),
    "Pooling3D": (
        Example(input=(4, 5, 6, 2), output=(2, 3, 3, 2), config={"pool_size": 3, "strides": 2, "padding": "same"}),
    ),
    "MelSpectrogram": (
        Example(
            input=(2, 100),
            output=(2, 6, 5),
            config={
                "fft_length": 64,
                "sequence_stride": 24,
                "sequence_length": 40,
                "window": "hamming",
                "num_mel_bins": 6,
                "power_to_db": False,
            },
        ),
    ),
    "Pipeline": (
        Example(input=(6,), output=(2,), config={"layers": [{"dense": {"units": 3}}, {"dense": {"units": 2}}]}),
    ),
    "STFTSpectrogram": (
        Example(
            input=(2, 40),
            output=(2, 10, 17),
            config={
                "mode": "psd",
                "frame_length": 12,
                "frame_step": 4,
                "fft_length": 32,
                "padding": "same",
                "expand_dims": True,
                "data_format": "channels_first",
            },
        ),
    ),
    "ConvLSTM1D": (
        Example(
            input=(3, 7, 3),
            output=[(3, 4, 2), (4, 2), (4, 2)],
            config={
                "filters": 2,
                "kernel_size": 2,
                "strides": 2,
                "padding": "same",
                "dropout": 0.2,
                "recurrent_dropout": 0.2,
                "return_sequences": True,
                "return_state": True,
            },
        ),
    ),
    "ConvLSTM2D": (
        Example(
            input=(3, 2, 5, 6),
            output=(3, 4, 5, 6),
            config={
                "filters": 4,
                "kernel_size": [2, 3],
                "padding": "same",
                "data_format": "channels_first",
                "return_sequences": True,
            },
        ),
    ),
    "GRU": (
        Example(input=(5, 3), output=(5, 4), config={"units": 4, "return_sequences": True, "recurrent_dropout": 0.2}),
        Example(input=(5, 3), output=[(4,), (4,)], config={"units": 4, "return_state": True, "reset_after": False}),
    ),
    "GRUCell": (
        Example(
            input=(3,),
            output=[(4,), (4,)],
            config={"units": 4, "dropout": 0.2, "recurrent_dropout": 0.2, "reset_after": False},
            call={"states": [(4,)]},
        ),
    ),
    "LSTM": (
        Example(input=(5, 3), output=(5, 4), config={"units": 4, "return_sequences": True, "recurrent_dropout": 0.2}),
        Example(input=(5, 3), output=[(4,), (4,), (4,)], config={"units": 4, "return_state": True, "dropout": 0.2}),
    ),
    "LSTMCell": (
        Example(
            input=(3,),
            output=[(4,), (4,), (4,)],
            config={"units": 4, "dropout": 0.2, "recurrent_dropout": 0.2},
            call={"states": [(4,), (4,)]},
        ),
    ),
    "RNN": (
        Example(
            input=(5, 3),
            output=[(5, 2), (4,), (4,), (2,)],
            config={"cell": [{"lstm_cell": 4}, {"simple_rnn_cell": 2}], "return_sequences": True, "return_state": True},
        ),
    ),
    "StackedRNNCells": (
        Example(input=(3,), output=[(4,), (4,)], config={"cells": [{"gru_cell": 4}]}, call={"states": [(4,)]}),
    ),
    "SimpleRNN": (
        Example(input=(5, 3), output=(5, 4), config={"units": 4, "return_sequences": True, "recurrent_dropout": 0.2}),
        Example(input=(5, 3), output=[(4,), (4,)], config={"units": 4, "return_state": True, "activation": "relu"}),
    ),
    "SimpleRNNCell": (
        Example(
            input=(3,),
            output=[(4,), (4,)],
            config={"units": 4, "dropout": 0.2, "recurrent_dropout": 0.2},
            call={"states": [(4,)]},
        ),
    ),
    "Dropout": (Example(input=(5, 8), output=(5, 8), config={"rate": 0.4, "noise_shape": [None, 1, 8]}),),
    "SpatialDropout2D": (
        Example(input=(3, 4, 4), output=(3, 4, 4), config={"rate": 0.2, "data_format": "channels_first"}),
    ),
    "SpatialDropout3D": (
        Example(input=(3, 4, 4, 4), output=(3, 4, 4, 4), config={"rate": 0.2, "data_format": "channels_first"}),
    ),
    "Cropping1D": (Example(input=(5, 3), output=(3, 3), config={"cropping": [2, 0]}),),
    "Cropping2D": (
        Example(
            input=(3, 5, 6), output=(3, 3, 1), config={"cropping": [[2, 0], [1, 4]], "data_format": "channels_first"}
        ),
    ),
    "Cropping3D": (Example(input=(4, 5, 6, 2), output=(4, 3, 3, 2), config={"cropping": [0, 1, [1, 2]]}),),
    "Reshape": (Example(input=(6, 4), output=(8, 3), config={"target_shape": [-1, 3]}),),
    "Flatten": (
        Example(input=(3, 2, 2), output=(12,), config={"data_format": "channels_first"}),
        Example(input=(), output=(1,)),
    ),
    "Permute": (Example(input=(2, 3, 4), output=(4, 2, 3), config={"dims": [3, 1, 2]}),),
    "UpSampling1D": (Example(input=(4, 3), output=(12, 3), config={"size": 3}),),
    "UpSampling2D": (
        Example(input=(3, 4, 2), output=(9, 8, 2), config={"size": [3, 2], "interpolation": "bilinear"}),
        Example(
            input=(2, 6, 5),
            output=(2, 6, 10),
            config={"size": [1, 2], "interpolation": "lanczos3", "data_format": "channels_first"},
        ),
    ),
    "UpSampling3D": (Example(input=(2, 3, 4, 2), output=(2, 6, 12, 2), config={"size": [1, 2, 3]}),),
    "ZeroPadding1D": (
        Example(input=(3, 5), output=(3, 7), config={"padding": [2, 0], "data_format": "channels_first"}),
    ),
    "ZeroPadding2D": (Example(input=(5, 6, 3), output=(7, 11, 3), config={"padding": [[2, 0], [1, 4]]}),),
    "ZeroPadding3D": (Example(input=(4, 5, 6, 2), output=(4, 7, 9, 2), config={"padding": [0, 1, [1, 2]]}),),
    "Bidirectional": (
        Example(
            input=(5, 3),
            output=[(5, 4), (5, 4), (4,), (4,)],
            config={"layer": {"gru": {"units": 4, "return_sequences": True, "return_state": True}}, "merge_mode": None},
        ),
        Example(
            input=(5, 3),
            output=(4,),
            config={
                "layer": {"simple_rnn": 4},
                "merge_mode": "sum",
                "backward_layer": {"gru": {"units": 4, "go_backwards": True}},
            },
        ),
    ),
    "SpectralNormalization": (
        Example(
            input=(6, 6, 2),
            output=(4, 4, 5),
            config={"layer": {"conv_2d": {"filters": 5, "kernel_size": 3}}, "power_iterations": 2},
        ),
    ),
    "TimeDistributed": (
        Example(
            input=(3, 6, 6, 2), output=(3, 4, 4, 5), config={"layer": {"conv_2d": {"filters": 5, "kernel_size": 3}}}
        ),
        Example(input=(5, 4), output=(5, 4), config={"layer": "batch_normalization"}),
    ),
    "RandomBrightness": (
        Example(input=(8, 6, 3), output=(8, 6, 3), config={"factor": [-0.1, 0.3], "value_range": [0.0, 1.0]}),
    ),
    "RandomContrast": (
        Example(input=(8, 6, 3), output=(8, 6, 3), config={"factor": [0.1, 0.3], "value_range": [0.0, 1.0]}),
    ),
    "RandomSaturation": (
        Example(input=(8, 6, 3), output=(8, 6, 3), config={"factor": [0.4, 0.5], "value_range": [0.0, 1.0]}),
    ),
    "RandomHue": (
        Example(input=(8, 6, 3), output=(8, 6, 3), config={"factor": [0.2, 0.5], "value_range": [0.0, 1.0]}),
    ),
    "RandomColorJitter": (
        Example(input=(8, 6, 3), output=(8, 6, 3), config={"value_range": [0.0, 1.0], "contrast_factor": [0.1, 0.2]}),
    ),
    "RandomColorDegeneration": (
        Example(input=(8, 6, 3), output=(8, 6, 3), config={"factor": [0.2, 0.8], "value_range": [0.0, 1.0]}),
    ),
    "RandomGrayscale": (
        Example(input=(3, 8, 6), output=(3, 8, 6), config={"factor": 0.9, "data_format": "channels_first"}),
    ),
    "RandomElasticTransform": (
        Example(
            input=(8, 6, 3),
            output=(8, 6, 3),
            config={"factor": [0.5, 1.0], "scale": 0.5, "interpolation": "nearest", "fill_mode": "mirror"},
        ),
    ),
    "RandomPerspective": (
        Example(
            input=(8, 6, 3),
            output=(8, 6, 3),
            config={"factor": [0.5, 1.0], "scale": 0.4, "interpolation": "nearest", "fill_value": 2.0},
        ),
    ),
    "RandomErasing": (
        Example(
            input=(8, 6, 3),
            output=(8, 6, 3),
            config={"factor": [0.5, 1.0], "scale": [0.1, 0.5], "fill_value": [1.0, 2.0, 3.0]},
        ),
    ),
    "RandomGaussianBlur": (
        Example(
            input=(8, 6, 3),
            output=(8, 6, 3),
            config={"factor": [0.5, 1.0], "kernel_size": [3, 5], "sigma": [0.5, 0.9], "value_range": [0.0, 1.0]},
        ),
    ),
    "RandomSharpness": (
        Example(input=(8, 6, 3), output=(8, 6, 3), config={"factor": [0.2, 0.9], "value_range": [0.0, 1.0]}),
    ),
    "RandAugment": (
        Example(
            input=(8, 6, 3),
            output=(8, 6, 3),
            config={"num_ops": 1, "factor": [0.2, 0.4], "value_range": [0.0, 1.0], "interpolation": "nearest"},
        ),
    ),
    "AugMix": (
        Example(
            input=(8, 6, 3),
            output=(8, 6, 3),
            config={"num_chains": 1, "all_ops": False, "factor": [0.1, 0.3], "value_range": [0.0, 1.0]},
        ),
    ),
    "Resizing": (
        Example(
            input=(8, 6, 3),
            output=(12, 9, 3),
            config={"height": 12, "width": 9, "interpolation": "bicubic"},
            dtype="int64",
        ),
        Example(
            input=(8, 6, 3),
            output=(4, 6, 3),
            config={"height": 4, "width": 6, "pad_to_aspect_ratio": True, "antialias": True},
        ),
        Example(
            input=(3, 8, 6),
            output=(3, 5, 4),
            config={"height": 5, "width": 4, "interpolation": "lanczos3", "data_format": "channels_first"},
        ),
    ),
    "CenterCrop": (
        Example(input=(3, 8, 6), output=(3, 9, 5), config={"height": 9, "width": 5, "data_format": "channels_first"}),
    ),
    "RandomCrop": (
        Example(input=(3, 8, 6), output=(3, 9, 5), config={"height": 9, "width": 5, "data_format": "channels_first"}),
    ),
    "RandomInvert": (
        Example(input=(8, 6, 3), output=(8, 6, 3), config={"factor": [0.2, 0.6], "value_range": [0.0, 1.0]}),
    ),
    "RandomPosterization": (
        Example(input=(8, 6, 3), output=(8, 6, 3), config={"factor": [2, 5], "value_range": [0.0, 1.0]}),
    ),
    "Solarization": (
        Example(input=(8, 6, 3), output=(8, 6, 3), config={"addition_factor": [0.1, 0.3], "value_range": [0.0, 1.0]}),
    ),
    "AutoContrast": (Example(input=(8, 6, 3), output=(8, 6, 3), dtype="int64"),),
    "Equalization": (
        Example(input=(8, 6, 3), output=(8, 6, 3), config={"value_range": [0.0, 1.0], "bins": 16}, dtype="int64"),
    ),
    "ContrastLimitedAdaptiveHistogramEqualization": (
        Example(
            input=(8, 6, 3),
            output=(8, 6, 3),
            config={"value_range": [0.0, 1.0], "clip_limit": 2.0, "tile_grid_size": 3},
            dtype="int64",
        ),
    ),
    "RandomFlip": (
        Example(input=(3, 8, 6), output=(3, 8, 6), config={"mode": "vertical", "data_format": "channels_first"}),
    ),
    "RandomRotation": (
        Example(
            input=(8, 6, 3),
            output=(8, 6, 3),
            config={"factor": [0.0, 0.25], "fill_mode": "wrap", "interpolation": "nearest"},
        ),
    ),
    "RandomShear": (
        Example(
            input=(8, 6, 3),
            output=(8, 6, 3),
            config={"x_factor": [0.1, 0.3], "interpolation": "nearest", "fill_mode": "constant", "fill_value": 1.0},
        ),
    ),
    "RandomTranslation": (
        Example(
            input=(8, 6, 3),
            output=(8, 6, 3),
            config={
                "height_factor": 0.2,
                "width_factor": [-0.3, 0.1],
                "fill_mode": "constant",
                "interpolation": "nearest",
            },
        ),
    ),
    "RandomZoom": (
        Example(
            input=(8, 6, 3),
            output=(8, 6, 3),
            config={
                "height_factor": [-0.2, 0.3],
                "width_factor": 0.1,
                "fill_mode": "nearest",
                "interpolation": "nearest",
            },
        ),
    ),
}
"""Mapping from the name of a class (a layer, or a base class of layers) to its examples after the first one."""
