"""Generate text with a decoder: a model that reads its own output so far and predicts the next token."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kerascli.data.text_codec import TextCodec
from kerascli.foundation import draws
from kerascli.training.generation.generate import Sampling, sampled

_PADDING = 0


@dataclass(frozen=True, slots=True)
class Decoder:
    """Decoder model trained by teacher forcing, as a function of its own output so far; its other inputs are fixed."""

    predict: Callable[[Tensor], Tensor]
    """Function from token ids of the output so far (N, places) to token probabilities or logits (N, places, words)."""
    begin: tuple[int, ...]
    """Token ids with which every output begins, at least one."""
    places: int
    rows: int
    reads: TextCodec
    writes: TextCodec


def decode_ids(model: Decoder, length: int, sampling: Sampling) -> np.ndarray:
    """Return token ids (N, T) that a decoder generates for N rows; after a text's end token, which is included, -1
    follows.

    All rows are generated at once. A text ends with the end token or, if there is none, with padding; else
    when the input is full or the text has `length` words.
    """
    stop = _PADDING if model.writes.stop is None else model.writes.stop
    read_as = torch.tensor(model.reads.numbers_of(model.writes))
    so_far = torch.zeros((model.rows, model.places), dtype=torch.int64)
    so_far[:, : len(model.begin)] = torch.tensor(model.begin)
    first = len(model.begin) - 1
    count = min(length, model.places - first)
    out = np.full((model.rows, count), -1)
    goes_on = np.ones(model.rows, bool)
    for place in range(first, first + count):
        with draws.using(draws.Draws(sampling.seed, "generate", place)), torch.inference_mode():
            chosen = sampled(model.predict(so_far)[:, place], model.writes, sampling, may=stop)
        out[goes_on, place - first] = chosen.numpy()[goes_on]
        goes_on &= chosen.numpy() != stop
        if place + 1 == model.places or not goes_on.any():
            break
        so_far[:, place + 1] = read_as[chosen]
    return out
