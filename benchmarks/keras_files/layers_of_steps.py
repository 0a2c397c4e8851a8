"""Families of layers that compute on sequences: recurrent layers, their wrappers, and attention."""

from random import Random
from typing import Any

import keras

from benchmarks.keras_files.cases import KINDS, Case, Given
from benchmarks.keras_files.layers_of_arrays import any_shape
from benchmarks.keras_files.values import ACTIVATIONS, settings

L = keras.layers
_CELLS = (L.LSTMCell, L.GRUCell, L.SimpleRNNCell)


def _after(random: Random, found: dict[str, Any]) -> Any:
    """Return a maker of a layer that uses the mask of a sequence."""
    if not found.get("return_sequences") or random.random() < 0.4:
        return None
    return random.choice([lambda: L.GRU(3, return_sequences=True), L.GlobalAveragePooling1D, lambda: L.LSTM(2)])


def _sequence(random: Random, found: dict[str, Any], layer: Any, **more: Any) -> Case:
    steps = 6 if found.get("unroll") or found.get("stateful") else random.choice([6, None])
    padded = random.random() < 0.5
    stateful = bool(found.get("stateful"))
    given = Given((steps, 3), padded=padded)
    return Case(layer, [given], masked=padded, after=_after(random, found), fixed_batch=stateful, **more)


@KINDS.add("recurrent", "LSTM GRU SimpleRNN")
def recurrent(cls: Any, random: Random) -> Case:
    found = settings(cls, random)
    if random.random() < 0.2:
        found["zero_output_for_mask"] = True
    return _sequence(random, found, cls(**found))


def _cell(cls: Any, random: Random) -> Any:
    return cls(**settings(cls, random, activation=random.choice(["tanh", "relu", "elu", *ACTIVATIONS])))


@KINDS.add("recurrent", "RNN LSTMCell GRUCell SimpleRNNCell StackedRNNCells")
def cells(cls: Any, random: Random) -> Case:
    several = [_cell(random.choice(_CELLS), random) for _ in range(random.randint(1, 3))]
    match cls.__name__:
        case "RNN":
            cell: Any = several if len(several) > 1 else several[0]
        case "StackedRNNCells":
            cell = cls(several)
        case _:
            cell = _cell(cls, random)
    found = settings(L.RNN, random, cell=cell)
    return _sequence(random, found, L.RNN(**found))


@KINDS.add("recurrent", "ConvLSTM#D")
def convolutional(cls: Any, random: Random) -> Case:
    rank = int(cls.__name__[-2])
    found = settings(cls, random, rank, filters=2)
    space = {1: (6,), 2: (5, 6), 3: (4, 5, 4)}[rank]
    shape = (2, *space) if found.get("data_format") == "channels_first" else (*space, 2)
    padded = random.random() < 0.4
    return Case(
        cls(**found), [Given((3, *shape), padded=padded)], masked=padded, fixed_batch=bool(found.get("stateful"))
    )


@KINDS.add("wrapper", "Bidirectional")
def bidirectional(cls: Any, random: Random) -> Case:
    inner = random.choice([L.LSTM, L.GRU, L.SimpleRNN])
    same = {key: random.random() < 0.5 for key in ("return_sequences", "return_state", "stateful")}
    forward = settings(inner, random, go_backwards=False, **same)
    fixed: dict[str, Any] = {"layer": inner(**forward), "backward_layer": None}
    fixed["merge_mode"] = random.choice(["sum", "mul", "ave", "concat", None])
    if random.random() < 0.4:
        back = settings(inner, random, go_backwards=True, units=forward["units"], **same)
        fixed["backward_layer"] = inner(**back)
    found = settings(cls, random, **fixed)
    case = _sequence(random, forward, cls(**found))
    return (
        case
        if found["merge_mode"] is not None
        else Case(case.layer, case.inputs, masked=case.masked, fixed_batch=case.fixed_batch)
    )


@KINDS.add("wrapper", "TimeDistributed")
def time_distributed(cls: Any, random: Random) -> Case:
    inner = random.choice([
        L.Dense, L.Conv1D, L.Conv2D, L.BatchNormalization, L.LayerNormalization, L.Flatten, L.LSTM, L.Activation,
        L.Dropout, L.MaxPooling1D, L.GlobalAveragePooling2D, L.Bidirectional, L.Softmax, L.PReLU, L.Embedding,
    ])  # fmt: skip
    case = KINDS.families[inner.__name__][1](inner, random)
    (given,) = case.inputs[:1]
    inputs = [Given((4, *given.shape), given.kind, given.high, padded=len(given.shape) == 1 and random.random() < 0.5)]
    return Case(
        cls(case.layer), inputs, masked=given.kind == "normal" and inputs[0].padded, fixed_batch=case.fixed_batch
    )


@KINDS.add("wrapper", "Pipeline")
def pipeline(cls: Any, random: Random) -> Case:
    layers = [L.Dense(**settings(L.Dense, random)) for _ in range(random.randint(1, 3))]
    return Case(cls([L.Rescaling(0.5), *layers, L.UnitNormalization()]), [Given(any_shape(random))])


@KINDS.add("attention", "Attention AdditiveAttention")
def attention(cls: Any, random: Random) -> Case:
    lead = random.choice([(), (), (2,)])
    padded = not lead and random.random() < 0.5
    inputs = [Given((*lead, 5, 4), padded=padded), Given((*lead, 6, 4), padded=padded and random.random() < 0.7)]
    if random.random() < 0.5:
        inputs.append(Given((*lead, 6, 4)))
    call: dict[str, Any] = {}
    if random.random() < 0.3:
        call["return_attention_scores"] = True
    if random.random() < 0.3:
        call["use_causal_mask"] = True
    return Case(
        cls(**settings(cls, random)), inputs, lambda layer, x: layer(x, **call), masked=any(g.padded for g in inputs),
    )  # fmt: skip


@KINDS.add("attention", "MultiHeadAttention GroupedQueryAttention")
def heads(cls: Any, random: Random) -> Case:
    if cls.__name__ == "GroupedQueryAttention":
        found = settings(cls, random, head_dim=3, num_query_heads=4, num_key_value_heads=random.choice([1, 2, 4]))
        lead: tuple[int, ...] = ()
    else:
        lead = random.choice([(), (), (), (3,)])
        axes = random.choice([None, (2,), (1, 2)]) if lead else None
        found = settings(
            cls, random, num_heads=random.choice([1, 2]), key_dim=random.choice([2, 3]), attention_axes=axes,
            value_dim=random.choice([None, 5]), output_shape=random.choice([None, 4, (2, 3)]),
        )  # fmt: skip
    padded = not lead and random.random() < 0.5
    same = random.random() < 0.4
    inputs = [Given((*lead, 5, 4), padded=padded)]
    if not same:
        inputs.append(Given((*lead, 6, 4), padded=padded and random.random() < 0.7))
    call: dict[str, Any] = {}
    if random.random() < 0.3:
        call["return_attention_scores"] = True
    if random.random() < 0.3:
        call["use_causal_mask"] = True
    masks = not lead and random.random() < 0.4
    if masks:
        inputs.append(Given((5, 5 if same else 6), "mask"))

    def called(layer: Any, x: list[Any]) -> Any:
        tensors, extra = (x[:-1], {"attention_mask": x[-1]}) if masks else (x, {})
        query, *rest = tensors
        return layer(query, rest[0] if rest else query, **call, **extra)

    return Case(cls(**found), inputs, called, masked=any(g.padded for g in inputs))


@KINDS.add("audio", "STFTSpectrogram")
def spectrogram(cls: Any, random: Random) -> Case:
    found = settings(
        cls, random, frame_length=random.choice([16, 32]), frame_step=random.choice([None, 8, 11]),
        mode=random.choice(["log", "magnitude", "psd", "real", "imag", "angle", "stft"]),
        fft_length=random.choice([None, 32, 64]), window=random.choice(["hann", "hamming", None]),
        scaling=random.choice(["density", "spectrum", None]), padding=random.choice(["valid", "same"]),
    )  # fmt: skip
    return Case(
        cls(**found), [Given((2, 100) if found.get("data_format") == "channels_first" else (100, 2))], weights=False
    )


@KINDS.add("audio", "MelSpectrogram")
def mel(cls: Any, random: Random) -> Case:
    found = settings(
        cls, random, fft_length=random.choice([64, 128]), sequence_stride=random.choice([16, 32]),
        sequence_length=random.choice([None, 64]), window=random.choice(["hann", "hamming"]), num_mel_bins=8,
        sampling_rate=random.choice([8000, 16000]), min_freq=random.choice([20.0, 100.0]),
        max_freq=random.choice([None, 3000.0]), power_to_db=random.random() < 0.5, top_db=random.choice([40.0, 80.0]),
        mag_exp=random.choice([1.0, 2.0]), min_power=random.choice([1e-10, 1e-4]), ref_power=random.choice([1.0, 2.0]),
    )  # fmt: skip
    return Case(cls(**found), [Given((256,))], weights=False)
