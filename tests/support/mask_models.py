"""Models in which a mask passes through a layer and is used after it."""

from collections.abc import Callable
from typing import Any

import keras
from keras import Input, Model, ops
from keras import layers as L

Make = Callable[[], Any]
Step = Callable[[Any], Any]


def words(mask_zero: bool = True) -> tuple[Any, Any]:
    """Return an input of six token ids and their embeddings; 0 is masked."""
    given = Input((6,), dtype="int32")
    return given, L.Embedding(5, 4, mask_zero=mask_zero)(given)


def used(y: Any) -> list[Any]:
    """Return layers that use the mask of a sequence: recurrent, mean, attention."""
    return [L.LSTM(3)(y), L.GlobalAveragePooling1D()(y), L.Attention()([y, y])]


def behind(step: Step, *, mask_zero: bool = True) -> Any:
    """Return a model of embeddings, a layer, and users of its mask."""
    given, x = words(mask_zero)
    return Model(given, used(step(x)))


def behind_images(step: Step, shape: tuple[int, ...] = (2, 2)) -> Any:
    """As `behind`, for a layer of more axes: each step is an image before the layer, and a vector after it."""
    given = Input((6, 2 ** len(shape)))
    x = L.TimeDistributed(L.Reshape(shape))(L.Masking(0.5)(given))
    return Model(given, used(L.TimeDistributed(L.Flatten())(step(x))))


def behind_rows(step: Step) -> Any:
    """Return a model in which a layer removes the time axis, so that a propagated mask would not fit."""
    given, x = words()
    return Model(given, L.Softmax()(step(x)))


def behind_two(step: Step, first: bool, second: bool) -> Any:
    """Return a model of two sequences, each with or without a mask."""
    (a, x), (b, y) = words(first), words(second)
    return Model([a, b], used(step([x, y])))


def lstm_with_states() -> Any:
    given, x = words()
    h, c = Input((3,)), Input((3,))
    return Model([given, h, c], used(L.LSTM(3, return_sequences=True)(x, initial_state=[h, c])))


def gru_with_a_state_by_position() -> Any:
    given, x = words()
    h = Input((3,))
    return Model([given, h], used(L.GRU(3, return_sequences=True)(x, h)))


def states_of_an_encoder() -> Any:
    (a, x), (b, y) = words(), words()
    z, h, c = L.LSTM(3, return_sequences=True, return_state=True)(x)
    y, *_ = L.LSTM(3, return_sequences=True, return_state=True)(y, initial_state=[h, c])
    return Model([a, b], [*used(y), L.Attention()([y, z]), L.Concatenate()([y, L.AdditiveAttention()([y, z])])])


def both_directions_with_states() -> Any:
    given, x = words()
    h, g = Input((3,)), Input((3,))
    y = L.Bidirectional(L.GRU(3, return_sequences=True))(x, initial_state=[h, g])
    return Model([given, h, g], used(y))


def both_directions_apart() -> Any:
    given, x = words()
    y, z = L.Bidirectional(L.GRU(3, return_sequences=True), merge_mode=None)(x)  # pyright: ignore[reportArgumentType]
    return Model(given, [*used(y), *used(z)])


def both_directions_and_their_states() -> Any:
    given, x = words()
    y, h, g = L.Bidirectional(L.GRU(4, return_sequences=True, return_state=True), merge_mode="sum")(x)
    return Model(given, [*used(y), h, g])


def cells_with_states() -> Any:
    given, x = words()
    h, g = Input((3,)), Input((2,))
    y = L.RNN([L.GRUCell(3), L.SimpleRNNCell(2)], return_sequences=True)(x, initial_state=[h, g])
    return Model([given, h, g], used(y))


def images_with_states() -> Any:
    given = Input((6, 4))
    x = L.TimeDistributed(L.Reshape((2, 2)))(L.Masking(0.5)(given))
    h, c = Input((2, 3)), Input((2, 3))
    y = L.ConvLSTM1D(3, 1, return_sequences=True)(x, initial_state=[h, c])
    return Model([given, h, c], used(L.TimeDistributed(L.Flatten())(y)))


def states_and_a_mask_by_hand() -> Any:
    given, x = words()
    h = Input((3,))
    mask = ops.not_equal(given, 1)
    return Model([given, h], used(L.GRU(3, return_sequences=True)(x, initial_state=h, mask=mask)))


def a_mask_by_hand_over_another() -> Any:
    given, x = words()
    return Model(given, used(L.GRU(3, return_sequences=True)(x, mask=ops.not_equal(given, 1))))


def the_mask_of_the_layer_by_hand() -> Any:
    given, x = words()
    y = ops.tanh(x)
    return Model(given, used(L.GRU(3, return_sequences=True)(y, mask=ops.not_equal(given, 0))))


def an_operation_between() -> Any:
    given, x = words()
    return Model(given, used(ops.tanh(x)))


def a_sum_by_an_operation() -> Any:
    (a, x), (b, y) = words(), words()
    return Model([a, b], used(x + y))


def a_shared_layer() -> Any:
    (a, x), (b, y) = words(), words(False)
    layer = L.GRU(3, return_sequences=True)
    return Model([a, b], [*used(layer(x)), *used(layer(y))])


def a_shared_layer_with_states_once() -> Any:
    given, x = words()
    h = Input((4,))
    layer = L.GRU(4, return_sequences=True)
    return Model([given, h], used(layer(layer(x, initial_state=h))))


def a_nested_model() -> Any:
    inner, given = Input((6, 4)), Input((6,), dtype="int32")
    tower = Model(inner, L.LayerNormalization()(L.GRU(4, return_sequences=True)(inner)))
    return Model(given, used(tower(L.Embedding(5, 4, mask_zero=True)(given))))


def a_nested_model_called_twice() -> Any:
    inner = Input((6, 4))
    tower = Model(inner, L.LayerNormalization()(L.GRU(4, return_sequences=True)(inner)))
    (a, x), (b, y) = words(), words(False)
    return Model([a, b], [*used(tower(x)), *used(tower(y))])


def a_nested_model_with_an_embedding() -> Any:
    inner, given = Input((6,), dtype="int32"), Input((6,), dtype="int32")
    tower = Model(inner, L.Dense(3)(L.Embedding(5, 4, mask_zero=True)(inner)))
    return Model(given, used(tower(given)))


def a_nested_model_with_states() -> Any:
    steps, state = Input((6, 4)), Input((3,))
    tower = Model([steps, state], L.GRU(3, return_sequences=True)(steps, initial_state=state))
    given, x = words()
    h = Input((3,))
    return Model([given, h], used(tower([x, h])))


def a_nested_sequential() -> Any:
    given, x = words()
    return Model(given, used(keras.Sequential([L.Dense(4), L.GRU(3, return_sequences=True)])(x)))


def a_nested_sequential_that_drops_masks() -> Any:
    given, x = words()
    return Model(given, used(keras.Sequential([L.Dense(4), L.Conv1D(3, 1)])(x)))


def every_step_on_its_own() -> Any:
    given = Input((4, 6), dtype="int32")
    x = L.TimeDistributed(L.Embedding(5, 3, mask_zero=True))(given)
    return Model(given, used(L.TimeDistributed(L.LSTM(3))(x)))


def words_of_sentences() -> Any:
    given = Input((4, 6), dtype="int32")
    x = L.Embedding(5, 3, mask_zero=True)(given)
    return Model(given, L.LSTM(2)(L.TimeDistributed(L.LSTM(3))(x)))


def a_model_on_every_step() -> Any:
    inner, (given, x) = Input((4,)), words()
    return Model(given, used(L.TimeDistributed(Model(inner, L.Dense(3)(inner)))(x)))


def heads_twice_on_one_sequence() -> Any:
    given, x = words()
    return Model(given, [L.MultiHeadAttention(1, 2)(x, x), L.MultiHeadAttention(2, 3)(x, x), L.LSTM(3)(x)])


def a_transformer_block() -> Any:
    given, x = words()
    x = L.LayerNormalization()(x + L.MultiHeadAttention(2, 2)(x, x))
    x = L.LayerNormalization()(L.Add()([x, L.Dense(4)(L.Dense(8, activation="relu")(x))]))
    return Model(given, used(x))


def a_transformer_block_with_add() -> Any:
    given, x = words()
    x = L.LayerNormalization()(L.Add()([x, L.MultiHeadAttention(2, 2)(x, x)]))
    x = L.LayerNormalization()(L.Add()([x, L.MultiHeadAttention(2, 2)(x, x)]))
    return Model(given, used(x))


def scores_beside_heads() -> Any:
    given, x = words()
    y, scores = L.MultiHeadAttention(2, 2)(x, x, return_attention_scores=True)
    return Model(given, [*used(y), scores])


def three_sequences_of_heads() -> Any:
    (a, x), (b, y), (c, z) = words(False), words(), words()
    return Model([a, b, c], used(L.MultiHeadAttention(2, 2)(x, y, z)))


def attention_with_masks_by_hand() -> Any:
    (a, x), (b, y) = words(False), words(False)
    masks = [ops.not_equal(a, 1), ops.not_equal(b, 2)]
    return Model([a, b], used(L.Attention()([x, y], mask=masks)))


def attention_with_a_mask_of_the_query_by_hand() -> Any:
    (a, x), (b, y) = words(), words(False)
    return Model([a, b], used(L.Attention()([x, y], mask=[ops.not_equal(a, 2), None])))


def what_follows_heads_on_the_same_sequence() -> Any:
    """Return a model in which attention removes the mask of a sequence that later layers use."""
    given, x = words()
    y = L.Dense(4)(L.MultiHeadAttention(1, 2)(x, x))
    after = [L.Maximum()([x, y]), L.Multiply()([y, x]), L.Concatenate()([x, y])]
    return Model(given, [*used(L.Add()([x, y])), *(L.GRU(2)(z) for z in after), L.GroupQueryAttention(2, 2, 1)(y, x)])


def an_encoder_and_a_decoder_of_heads() -> Any:
    (a, x), (b, y) = words(), words()
    x = L.LayerNormalization()(L.Add()([x, L.MultiHeadAttention(2, 2)(x, x)]))
    x = L.LayerNormalization()(L.Add()([x, L.Dense(4)(x)]))
    for _ in range(2):
        y = L.LayerNormalization()(L.Add()([y, L.MultiHeadAttention(2, 2)(y, y, use_causal_mask=True)]))
        y = L.LayerNormalization()(L.Add()([y, L.MultiHeadAttention(2, 2)(y, x)]))
    return Model([a, b], used(y))


def heads_behind_words_that_are_masked_once() -> Any:
    (a, x), (b, y) = words(), words()
    y = L.Add()([y, L.MultiHeadAttention(2, 2)(y, y)])
    return Model([a, b], used(L.MultiHeadAttention(2, 2)(L.Dense(4)(y), x)))


def recurrent_layers_in_a_pipeline() -> Any:
    given, x = words()
    return Model(given, used(L.Pipeline([L.GRU(3, return_sequences=True), L.Dense(3), L.BatchNormalization()])(x)))


def a_pipeline_that_drops_masks() -> Any:
    given, x = words()
    return Model(given, used(L.Pipeline([L.Dense(3), L.Conv1D(2, 1)])(x)))


def a_mask_by_hand_behind_a_layer_that_drops_it() -> Any:
    given, x = words()
    return Model(given, used(L.LSTM(3, return_sequences=True)(L.Conv1D(3, 1)(x), mask=ops.not_equal(given, 0))))


def a_mask_that_ends_at_a_convolution() -> Any:
    given, x = words()
    return Model(given, [*used(L.Conv1D(3, 1)(x)), *used(x)])


def a_mask_as_second_input_of_a_mean() -> Any:
    given, x = Input((6,), dtype="int32"), Input((6, 4))
    return Model([given, x], L.GlobalAveragePooling1D()(x, ops.not_equal(given, 0)))


def a_mask_as_second_input_of_a_softmax() -> Any:
    given, x = Input((6,), dtype="int32"), Input((6,))
    return Model([given, x], L.Softmax()(x, ops.not_equal(given, 0)))


def a_mask_by_hand_of_every_step() -> Any:
    given, x = words(False)
    return Model(given, used(L.TimeDistributed(L.Dense(3))(x, mask=ops.not_equal(given, 0))))


def three_masks_of_a_sum() -> Any:
    (a, x), (b, y), (c, z) = words(), words(), words()
    return Model([a, b, c], used(L.Add()([x, y, z])))


def two_maskings() -> Any:
    given = Input((6, 4))
    return Model(given, used(L.Masking(0.5)(L.Dense(4)(L.Masking(0.5)(given)))))


def a_reversible_embedding() -> Any:
    given = Input((6,), dtype="int32")
    layer = L.ReversibleEmbedding(5, 4, mask_zero=True)
    x = layer(given)
    return Model(given, [*used(x), layer(L.GRU(4, return_sequences=True)(x), reverse=True)])
