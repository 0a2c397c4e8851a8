"""Small versions of whole models in Keras's documentation."""

from typing import Any

import keras
import numpy as np

L: Any = keras.layers
ops: Any = keras.ops
Input: Any = keras.Input


def mlp() -> Any:
    return keras.Sequential([
        Input((20,)), L.Dense(16, activation="relu"), L.Dropout(0.4), L.Dense(8, activation="selu"),
        L.AlphaDropout(0.1), L.Dense(3, activation="softmax"),
    ])  # fmt: skip


def mnist_convnet() -> Any:
    return keras.Sequential([
        Input((28, 28, 1)), L.Conv2D(8, 3, activation="relu"), L.MaxPooling2D(2), L.Conv2D(8, 3, activation="relu"),
        L.MaxPooling2D(2), L.Flatten(), L.Dropout(0.5), L.Dense(10, activation="softmax"),
    ])  # fmt: skip


def lenet() -> Any:
    return keras.Sequential([
        Input((28, 28, 1)), L.ZeroPadding2D(2), L.Conv2D(6, 5, activation="tanh"), L.AveragePooling2D(2),
        L.Conv2D(16, 5, activation="tanh"), L.AveragePooling2D(2), L.Flatten(), L.Dense(12, activation="tanh"),
        L.Dense(10),
    ])  # fmt: skip


def vgg() -> Any:
    x = given = Input((32, 32, 3))
    for filters in (4, 8, 8):
        for _ in range(2):
            x = L.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = L.MaxPooling2D(2, strides=2)(x)
    return keras.Model(given, L.Dense(5, activation="softmax")(L.Flatten()(x)))


def resnet_block() -> Any:
    x = given = Input((16, 16, 3))
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(6, 3, padding="same", use_bias=False)(x)))
    for strides in (1, 2):
        skip = L.Conv2D(6, 1, strides=strides)(x) if strides > 1 else x
        y = L.ReLU()(L.BatchNormalization()(L.Conv2D(6, 3, strides=strides, padding="same")(x)))
        x = L.ReLU()(L.Add()([L.BatchNormalization()(L.Conv2D(6, 3, padding="same")(y)), skip]))
    return keras.Model(given, L.Dense(4)(L.GlobalAveragePooling2D()(x)))


def toy_resnet_of_the_guide() -> Any:
    given = Input((32, 32, 3), name="img")
    x = L.Conv2D(8, 3, activation="relu")(given)
    one = L.MaxPooling2D(3)(L.Conv2D(8, 3, activation="relu")(x))
    x = L.Conv2D(8, 3, activation="relu", padding="same")(one)
    two = L.add([L.Conv2D(8, 3, activation="relu", padding="same")(x), one])
    x = L.GlobalAveragePooling2D()(L.Conv2D(8, 3, activation="relu")(two))
    return keras.Model(given, L.Dense(10)(x), name="toy_resnet")


def inception() -> Any:
    x = given = Input((12, 12, 3))
    towers = [L.Conv2D(4, size, padding="same", activation="relu")(x) for size in (1, 3, 5)]
    towers.append(L.Conv2D(4, 1)(L.MaxPooling2D(3, strides=1, padding="same")(x)))
    return keras.Model(given, L.GlobalMaxPooling2D()(L.Concatenate()(towers)))


def xception_like() -> Any:
    x = given = Input((24, 24, 3))
    x = L.Activation("relu")(L.BatchNormalization()(L.Conv2D(4, 3, strides=2, padding="same")(L.Rescaling(1 / 255)(x))))
    for size in (6, 8):
        y = L.BatchNormalization()(L.SeparableConv2D(size, 3, padding="same")(L.Activation("relu")(x)))
        y = L.MaxPooling2D(3, strides=2, padding="same")(y)
        x = L.add([y, L.Conv2D(size, 1, strides=2, padding="same")(x)])
    return keras.Model(given, L.Dense(1, activation="sigmoid")(L.GlobalAveragePooling2D()(x)))


def mobile_block() -> Any:
    x = given = Input((16, 16, 4))
    y = L.ReLU(6.0)(L.BatchNormalization()(L.Conv2D(12, 1, use_bias=False)(x)))
    y = L.ReLU(6.0)(L.BatchNormalization()(L.DepthwiseConv2D(3, padding="same", use_bias=False)(y)))
    return keras.Model(given, L.Add()([x, L.BatchNormalization()(L.Conv2D(4, 1, use_bias=False)(y))]))


def squeeze_excite() -> Any:
    x = given = Input((8, 8, 6))
    y = L.Reshape((1, 1, 6))(L.GlobalAveragePooling2D()(x))
    y = L.Dense(6, activation="sigmoid")(L.Dense(2, activation="relu")(y))
    return keras.Model(given, L.Multiply()([x, y]))


def u_net() -> Any:
    x = given = Input((16, 16, 3))
    skips = []
    for filters in (4, 8):
        x = L.Conv2D(filters, 3, padding="same", activation="relu")(x)
        skips.append(x)
        x = L.MaxPooling2D()(x)
    x = L.Conv2D(8, 3, padding="same", activation="relu")(x)
    for filters, skip in zip((8, 4), reversed(skips), strict=True):
        x = L.Conv2DTranspose(filters, 2, strides=2, padding="same")(x)
        x = L.Conv2D(filters, 3, padding="same", activation="relu")(L.concatenate([x, skip]))
    return keras.Model(given, L.Conv2D(2, 1, activation="softmax")(x))


def oxford_pets_u_net() -> Any:
    x = given = Input((16, 16, 3))
    x = previous = L.Activation("relu")(L.BatchNormalization()(L.Conv2D(4, 3, strides=2, padding="same")(x)))
    x = L.BatchNormalization()(L.SeparableConv2D(6, 3, padding="same")(L.Activation("relu")(x)))
    x = L.add([L.MaxPooling2D(3, strides=2, padding="same")(x), L.Conv2D(6, 1, strides=2, padding="same")(previous)])
    y = L.UpSampling2D(2)(L.BatchNormalization()(L.Conv2DTranspose(4, 3, padding="same")(L.Activation("relu")(x))))
    x = L.add([y, L.Conv2D(4, 1, padding="same")(L.UpSampling2D(2)(x))])
    return keras.Model(given, L.Conv2D(3, 3, activation="softmax", padding="same")(x))


def super_resolution() -> Any:
    x = given = Input((6, 6, 1))
    for filters, size in ((6, 5), (6, 3), (9, 3)):
        x = L.Conv2D(filters, size, padding="same", activation="relu", kernel_initializer="orthogonal")(x)
    x = ops.reshape(x, (-1, 6, 6, 3, 3, 1))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return keras.Model(given, ops.reshape(x, (-1, 18, 18, 1)))


def autoencoder() -> Any:
    given = Input((28, 28, 1))
    encoder = keras.Sequential(
        [Input((28, 28, 1)), L.Flatten(), L.Dense(16, activation="relu"), L.Dense(4)], name="encoder"
    )
    decoder = keras.Sequential(
        [Input((4,)), L.Dense(784, activation="sigmoid"), L.Reshape((28, 28, 1))], name="decoder"
    )
    return keras.Model(given, decoder(encoder(given)), name="autoencoder")


def denoising_autoencoder() -> Any:
    x = given = Input((12, 12, 1))
    for _ in range(2):
        x = L.MaxPooling2D(2, padding="same")(L.Conv2D(4, 3, activation="relu", padding="same")(x))
    for _ in range(2):
        x = L.Conv2DTranspose(4, 3, strides=2, activation="relu", padding="same")(x)
    return keras.Model(given, L.Conv2D(1, 3, activation="sigmoid", padding="same")(x))


def variational_encoder() -> Any:
    x = given = Input((14, 14, 1))
    x = L.Conv2D(4, 3, activation="relu", strides=2, padding="same")(x)
    x = L.Dense(6, activation="relu")(L.Flatten()(x))
    return keras.Model(given, [L.Dense(2, name="z_mean")(x), L.Dense(2, name="z_log_var")(x)], name="encoder")


def gan_discriminator() -> Any:
    return keras.Sequential([
        Input((16, 16, 3)), L.Conv2D(4, 4, strides=2, padding="same"), L.LeakyReLU(negative_slope=0.2),
        L.SpectralNormalization(L.Conv2D(6, 4, strides=2, padding="same")), L.LeakyReLU(negative_slope=0.2),
        L.Flatten(), L.Dropout(0.2), L.Dense(1, activation="sigmoid"),
    ])  # fmt: skip


def gan_generator() -> Any:
    return keras.Sequential([
        Input((8,)), L.Dense(64), L.Reshape((4, 4, 4)), L.Conv2DTranspose(6, 4, strides=2, padding="same"),
        L.BatchNormalization(), L.PReLU(shared_axes=[1, 2]), L.Conv2D(3, 5, padding="same", activation="tanh"),
    ])  # fmt: skip


def image_augmentation() -> Any:
    augment = keras.Sequential([Input((16, 16, 3)), L.RandomFlip("horizontal"), L.RandomRotation(0.1)], name="augment")
    given = Input((16, 16, 3))
    x = L.Rescaling(1 / 127.5, offset=-1)(L.RandomZoom(0.2)(augment(given)))
    return keras.Model(given, L.Dense(2)(L.GlobalAveragePooling2D()(L.Conv2D(4, 3)(x))))


def vision_transformer() -> Any:
    x = given = Input((12, 12, 3))
    x = L.Reshape((9, 12))(L.Conv2D(12, 4, strides=4)(x))
    places = L.Embedding(9, 12)(ops.arange(0, 9))
    x = x + places
    for _ in range(2):
        y = L.LayerNormalization(epsilon=1e-6)(x)
        x = L.Add()([L.MultiHeadAttention(num_heads=2, key_dim=6, dropout=0.1)(y, y), x])
        y = L.LayerNormalization(epsilon=1e-6)(x)
        y = L.Dropout(0.1)(L.Dense(12)(L.Dense(24, activation=keras.activations.gelu)(y)))
        x = L.Add()([y, x])
    return keras.Model(given, L.Dense(4)(L.Flatten()(L.LayerNormalization(epsilon=1e-6)(x))))


def mlp_mixer() -> Any:
    x = given = Input((9, 8))
    y = L.Permute((2, 1))(L.LayerNormalization()(x))
    y = L.Permute((2, 1))(L.Dense(9)(L.Dense(6, activation="gelu")(y)))
    x = L.Add()([x, y])
    return keras.Model(given, L.GlobalAveragePooling1D()(L.Add()([x, L.Dense(8)(L.LayerNormalization()(x))])))


def einsum_attention() -> Any:
    x = given = Input((5, 8))
    q, k, v = (L.EinsumDense("abc,cde->abde", output_shape=(None, 2, 4), bias_axes="de")(x) for _ in range(3))
    scores = ops.softmax(ops.einsum("bqhd,bkhd->bhqk", q, k) / 2.0, axis=-1)
    y = L.EinsumDense("abde,dec->abc", output_shape=(None, 8))(ops.einsum("bhqk,bkhd->bqhd", scores, v))
    return keras.Model(given, [y, scores])


def conv_mixer() -> Any:
    x = given = Input((12, 12, 3))
    x = L.BatchNormalization()(L.Activation("gelu")(L.Conv2D(6, 2, strides=2)(x)))
    y = L.BatchNormalization()(L.Activation("gelu")(L.DepthwiseConv2D(5, padding="same")(x)))
    x = L.BatchNormalization()(L.Activation("gelu")(L.Conv2D(6, 1)(L.Add()([y, x]))))
    return keras.Model(given, L.Dense(3)(L.GlobalAvgPool2D()(x)))


def gated_normalizations() -> Any:
    x = given = Input((8, 8, 4))
    y = L.GroupNormalization(groups=2)(L.Conv2D(4, 3, padding="same")(x))
    y = L.UnitNormalization()(y * ops.sigmoid(y))
    return keras.Model(given, L.RMSNormalization()(L.Conv2D(4, 1)(y) + x))


def imdb_lstm() -> Any:
    given = Input((None,), dtype="int32")
    x = L.Embedding(50, 6)(given)
    x = L.Bidirectional(L.LSTM(4))(L.Bidirectional(L.LSTM(4, return_sequences=True))(x))
    return keras.Model(given, L.Dense(1, activation="sigmoid")(x))


def masked_gru() -> Any:
    return keras.Sequential([
        Input((9,), dtype="int32"), L.Embedding(12, 5, mask_zero=True),
        L.Bidirectional(L.GRU(4, return_sequences=True)), L.TimeDistributed(L.Dense(3, activation="softmax")),
    ])  # fmt: skip


def masked_attention() -> Any:
    given = Input((7,), dtype="int32")
    x = L.Embedding(12, 6, mask_zero=True)(given)
    x = L.LayerNormalization()(x + L.MultiHeadAttention(2, 3)(x, x))
    return keras.Model(given, L.Dense(2)(L.GlobalAveragePooling1D()(x)))


def text_cnn() -> Any:
    given = Input((12,), dtype="int64")
    x = L.Dropout(0.5)(L.Embedding(30, 6)(given))
    x = L.Conv1D(4, 3, padding="valid", activation="relu", strides=2)(x)
    return keras.Model(given, L.Dense(1, activation="sigmoid")(L.GlobalMaxPooling1D()(x)))


def text_transformer() -> Any:
    given = Input((10,), dtype="int32")
    x = L.Embedding(30, 8)(given) + L.Embedding(10, 8)(ops.arange(start=0, stop=10, step=1))
    attended = L.MultiHeadAttention(num_heads=2, key_dim=8)(x, x)
    one = L.LayerNormalization(epsilon=1e-6)(x + L.Dropout(0.1)(attended))
    hidden = keras.Sequential([L.Dense(12, activation="relu"), L.Dense(8)])(one)
    two = L.LayerNormalization(epsilon=1e-6)(one + L.Dropout(0.1)(hidden))
    return keras.Model(given, L.Dense(2, activation="softmax")(L.GlobalAveragePooling1D()(two)))


def causal_language_model() -> Any:
    given = Input((8,), dtype="int32")
    x = L.Embedding(20, 8)(given)
    x = L.LayerNormalization()(x + L.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True))
    x = L.LayerNormalization()(x + L.GroupQueryAttention(4, 2, 1)(x, x, use_causal_mask=True))
    return keras.Model(given, L.Dense(20)(x))


def translator() -> Any:
    source, target = Input((6,), dtype="int32", name="source"), Input((5,), dtype="int32", name="target")
    _, h, c = L.LSTM(6, return_state=True)(L.Embedding(20, 5, mask_zero=True)(source))
    x = L.LSTM(6, return_sequences=True)(L.Embedding(22, 5, mask_zero=True)(target), initial_state=[h, c])
    return keras.Model([source, target], L.Dense(22, activation="softmax")(x))


def attention_translator() -> Any:
    source, target = Input((6, 4), name="encoder_inputs"), Input((5, 4), name="decoder_inputs")
    memory, *state = L.GRU(6, return_sequences=True, return_state=True)(source)
    x = L.GRU(6, return_sequences=True)(target, initial_state=state)
    context = L.AdditiveAttention()([x, memory])
    context, scores = L.Attention()([context, memory], return_attention_scores=True)
    return keras.Model([source, target], [L.Dense(3)(L.Concatenate()([x, context])), scores])


def transformer_translator() -> Any:
    source, target = Input((6, 8), name="source"), Input((5, 8), name="target")
    memory = L.LayerNormalization()(source + L.MultiHeadAttention(2, 4)(source, source))
    x = L.LayerNormalization()(target + L.MultiHeadAttention(2, 4)(target, target, use_causal_mask=True))
    x = L.LayerNormalization()(x + L.MultiHeadAttention(2, 4)(query=x, value=memory, key=memory))
    return keras.Model([source, target], L.Dense(7, activation="softmax")(x))


def memory_network() -> Any:
    story, question = Input((8,), dtype="int64", name="story"), Input((4,), dtype="int64", name="question")
    memory, keys = L.Embedding(20, 6)(story), L.Embedding(20, 4)(story)
    query = L.Dropout(0.3)(L.Embedding(20, 6)(question))
    match = L.Activation("softmax")(L.Dot(axes=(2, 2))([memory, query]))
    answer = L.Concatenate()([L.Permute((2, 1))(L.Add()([match, keys])), query])
    return keras.Model([story, question], L.Dense(20, activation="softmax")(L.LSTM(6)(answer)))


def wavenet() -> Any:
    x = given = Input((16, 3))
    skips = []
    for rate in (1, 2, 4):
        y = L.Conv1D(4, 2, dilation_rate=rate, padding="causal", activation="tanh")(x)
        gate = L.Conv1D(4, 2, dilation_rate=rate, padding="causal", activation="sigmoid")(x)
        skips.append(L.Conv1D(3, 1)(L.Multiply()([y, gate])))
        x = L.Add()([x, skips[-1]])
    return keras.Model(given, L.Conv1D(2, 1)(L.Activation("relu")(L.Add()(skips))))


def time_series_classifier() -> Any:
    x = given = Input((20, 1))
    for _ in range(3):
        x = L.ReLU()(L.BatchNormalization()(L.Conv1D(4, 3, padding="same")(x)))
    return keras.Model(given, L.Dense(2, activation="softmax")(L.GlobalAveragePooling1D()(x)))


def next_frame() -> Any:
    x = given = Input((3, 8, 8, 1))
    x = L.BatchNormalization()(L.ConvLSTM2D(3, 3, padding="same", return_sequences=True, activation="relu")(x))
    x = L.ConvLSTM2D(2, 1, padding="same", return_sequences=True)(x)
    return keras.Model(given, L.Conv3D(1, 3, activation="sigmoid", padding="same")(x))


def video_classifier() -> Any:
    frame = keras.Sequential([Input((8, 8, 3)), L.Conv2D(4, 3, activation="relu"), L.Flatten(), L.Dense(5)])
    given = Input((4, 8, 8, 3))
    return keras.Model(given, L.Dense(3)(L.GRU(4)(L.TimeDistributed(frame)(given))))


def volumes() -> Any:
    x = given = Input((8, 8, 8, 1))
    x = L.BatchNormalization()(L.MaxPool3D(2)(L.Conv3D(4, 3, activation="relu")(x)))
    return keras.Model(given, L.Dense(1, activation="sigmoid")(L.GlobalAveragePooling3D()(x)))


def tickets() -> Any:
    title, body = Input((6,), dtype="int32", name="title"), Input((9,), dtype="int32", name="body")
    tags = Input((4,), name="tags")
    x = L.concatenate([L.LSTM(4)(L.Embedding(30, 5)(title)), L.LSTM(3)(L.Embedding(30, 5)(body)), tags])
    return keras.Model([title, body, tags], [L.Dense(1, name="priority")(x), L.Dense(4, name="department")(x)])


def wide_and_deep() -> Any:
    given = {name: Input((1,), name=name) for name in ("age", "trestbps", "chol")}
    x = L.concatenate(list(given.values()))
    deep = L.Dropout(0.5)(L.ReLU()(L.BatchNormalization()(L.Dense(6)(x))))
    return keras.Model(given, {"risk": L.Dense(1, activation="sigmoid")(L.concatenate([x, deep])), "deep": deep})


def categories() -> Any:
    kind, size = Input((1,), dtype="int64", name="kind"), Input((2,), name="size")
    x = L.concatenate([L.CategoryEncoding(5, output_mode="one_hot")(kind), L.Rescaling(0.1)(size)])
    return keras.Model([kind, size], L.Dense(2)(x))


def recommender() -> Any:
    user, movie = Input((1,), dtype="int32", name="user"), Input((1,), dtype="int32", name="movie")
    u, m = L.Flatten()(L.Embedding(9, 4)(user)), L.Flatten()(L.Embedding(9, 4)(movie))
    biases = L.Flatten()(L.Embedding(9, 1)(user)) + L.Flatten()(L.Embedding(9, 1)(movie))
    return keras.Model([user, movie], ops.sigmoid(L.Dot(axes=1)([u, m]) + biases))


def operations() -> Any:
    x = given = Input((6, 4))
    a, b = ops.split(x, 2, axis=1)
    values, indices = ops.top_k(ops.mean(ops.abs(x - 0.5), axis=-1), k=3)
    parts = ops.unstack(a, 3, axis=1)
    y = ops.where(ops.greater(a, b), ops.maximum(a, 0.1), ops.exp(-ops.square(b)))
    y = ops.concatenate([y, ops.stack(parts, axis=1) * np.array([1.0, 2.0, 3.0, 4.0], "float32")], axis=-1)
    y = L.Dense(3)(y[:, 1:, ::2]) @ ops.ones((3, 2))
    return keras.Model(given, [y, values + ops.cast(indices, "float32"), ops.logsumexp(1.0 / (2.0 + y**2), axis=1)])


def explicit_mask() -> Any:
    given, mask = Input((6, 3), name="steps"), Input((6,), dtype="bool", name="seen")
    x = L.LSTM(4, return_sequences=True)(given, mask=mask)
    allowed = ops.expand_dims(mask, 1)
    y = L.MultiHeadAttention(2, 3)(x, x, attention_mask=allowed)
    return keras.Model([given, mask], [L.GRU(2)(y, mask=mask), L.Dense(2)(y)])


def cells() -> Any:
    x = given = Input((5, 3))
    x = L.RNN([L.LSTMCell(4), L.GRUCell(3)], return_sequences=True)(x)
    return keras.Model(given, L.Bidirectional(L.RNN(L.GRUCell(2)), merge_mode="mul")(x))


def frozen_base() -> Any:
    base = keras.Sequential([Input((8, 8, 3)), L.Conv2D(4, 3), L.BatchNormalization(), L.ReLU()], name="base")
    base.trainable = False
    given = Input((8, 8, 3))
    return keras.Model(given, L.Dense(2)(L.GlobalAveragePooling2D()(base(given, training=False))))


def nested_twice() -> Any:
    a = Input((6,))
    inner = keras.Model(a, [L.Dense(3)(a), L.Dense(2)(a)], name="inner")
    b = Input((6,), name="b")
    one, two = inner(b)
    middle = keras.Model(b, L.Concatenate()([L.Dense(4)(one), two]), name="middle")
    given = Input((6,), name="x")
    return keras.Model(given, L.Dense(1)(middle(L.Dense(6)(given))))


WHOLE = [
    mlp, mnist_convnet, lenet, vgg, resnet_block, toy_resnet_of_the_guide, inception, xception_like, mobile_block,
    squeeze_excite, u_net, oxford_pets_u_net, super_resolution, autoencoder, denoising_autoencoder, variational_encoder,
    gan_discriminator, gan_generator, image_augmentation, vision_transformer, mlp_mixer, einsum_attention, conv_mixer,
    gated_normalizations, imdb_lstm, masked_gru, masked_attention, text_cnn, text_transformer, causal_language_model,
    translator, attention_translator, transformer_translator, memory_network, wavenet, time_series_classifier,
    next_frame, video_classifier, volumes, tickets, wide_and_deep, categories, recommender, operations, explicit_mask,
    cells, frozen_base, nested_twice,
]  # fmt: skip
"""Models that call every layer once."""


def siamese() -> Any:
    left, right = Input((8, 8, 1), name="left"), Input((8, 8, 1), name="right")
    tower = keras.Sequential([Input((8, 8, 1)), L.Conv2D(4, 3), L.BatchNormalization(), L.Flatten(), L.Dense(4)])
    apart = ops.sqrt(ops.sum(ops.square(tower(left) - tower(right)), axis=1, keepdims=True) + 1e-7)
    return keras.Model([left, right], L.Dense(1, activation="sigmoid")(apart))


def shared_embedding() -> Any:
    a, b = Input((5,), dtype="int32", name="a"), Input((6,), dtype="int32", name="b")
    words, read = L.Embedding(20, 4), L.Bidirectional(L.LSTM(3))
    return keras.Model([a, b], L.Dense(2)(L.concatenate([read(words(a)), read(words(b))])))


def unrolled() -> Any:
    x = given = Input((4,))
    step = L.Dense(4, activation="tanh")
    for _ in range(3):
        x = step(x)
    return keras.Model(given, x)


def shared_functional() -> Any:
    inner = Input((4,))
    h = L.Dense(3, activation="relu")(inner)
    both = keras.Model(inner, [L.Dense(2)(h), h], name="both")
    a, b = Input((4,), name="a"), Input((4,), name="b")
    (one, _), (two, last) = both(a), both(b)
    return keras.Model([a, b], [L.Add()([one, two]), last])


SHARED = [siamese, shared_embedding, unrolled, shared_functional]
"""Models that call some layers or models several times."""
