"""Generate text token by token, with a language model or a decoder: each sampled token is an input of the next step."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kerascli.data.text_codec import TextCodec
from kerascli.foundation import draws


class Sampling(NamedTuple):
    """Settings for sampling the next token of a generated text: temperature, top-k, seed."""

    temperature: float = 1.0
    """Divisor of the logits; 0: always take the most probable token."""
    top_k: int | None = None
    """Number of most probable tokens to sample among; None: all tokens."""
    seed: int = 0


class TextModel(NamedTuple):
    """Language model that predicts the next token from the last `window` token ids, with its vocabularies."""

    predict: Callable[[Tensor], Tensor]
    """Function from token ids (1, window) to probabilities or logits of the next token.

    Its result has the shape (1, tokens) or, for each step, (1, window, tokens).
    """
    window: int
    reads: TextCodec
    """Vocabulary of the token ids that the model takes."""
    writes: TextCodec
    """Vocabulary of the tokens that the model predicts."""


def generate_words(model: TextModel, numbers: list[int], length: int, sampling: Sampling) -> Iterator[str]:
    """Yield up to `length` tokens by which a language model continues a prompt; an end token ends the text earlier.

    `numbers` are the token ids of the prompt, which must not be empty. A model that predicts at every time step reads
    the prompt from its first position on. A model that predicts only after the last time step reads a full window: a
    prompt shorter than the window is padded in front with repetitions of itself.
    """
    read_as = model.reads.numbers_of(model.writes)
    text, end, held = list(numbers), model.writes.end, list[int]()
    for place in range(length):
        with draws.using(draws.Draws(sampling.seed, "generate", place)), torch.inference_mode():
            scores = _next(model, text[-model.window :])
            (chosen,) = sampled(scores[None], model.writes, sampling).tolist()
        held.append(chosen)
        if tuple(held) == end:
            return
        if len(held) >= len(end):  # the first token is not that of an end
            yield model.writes.words[held.pop(0)]
        text.append(read_as[chosen])
    yield from (model.writes.words[number] for number in held)


def _next(model: TextModel, text: list[int]) -> Tensor:
    """Return a tensor (tokens,): the language model's probability or logit of each token to follow `text`."""
    missing = model.window - len(text)
    output = model.predict(torch.tensor([text + [0] * missing]))
    if output.dim() == 3:
        return output[0, len(text) - 1]
    if missing:
        output = model.predict(torch.tensor([(text * -(-missing // len(text)))[-missing:] + text]))
    return output[0]


def sampled(scores: Tensor, codec: TextCodec, sampling: Sampling, may: int | None = None) -> Tensor:
    """Return a token id (N,) sampled for each row of `scores` (N, tokens), which are probabilities or logits.

    `codec` has the vocabulary. Its special tokens (padding, OOV) are excluded, except for the id `may`.
    """
    scores = scores.double().cpu()
    are_probabilities = bool((scores >= 0).all()) and bool(((scores.sum(-1) - 1).abs() < 1e-2).all())
    scores = scores[:, : len(codec.words)]  # a model may have units that stand for no word
    logits = scores.clamp_min(1e-300).log() if are_probabilities else scores
    logits[:, [number for number in range(codec.special) if number != may]] = -torch.inf
    if sampling.temperature == 0:
        return logits.argmax(-1)
    if sampling.top_k is not None and sampling.top_k < logits.shape[-1]:
        logits[logits < logits.topk(sampling.top_k).values[:, -1:]] = -torch.inf
    sums = torch.softmax(logits / sampling.temperature, -1).cumsum(-1)
    points = draws.uniform(torch.empty(len(sums), 1, dtype=torch.float64)) * sums[:, -1:]
    return torch.searchsorted(sums, points, right=True)[:, 0].clamp_max(logits.shape[-1] - 1)


class Decoder(NamedTuple):
    """Decoder (of an encoder-decoder model) as a function of its own output so far, with all its other inputs fixed."""

    predict: Callable[[Tensor], Tensor]
    """Function from token ids of the output so far (N, places) to token probabilities or logits (N, places, tokens)."""
    begin: tuple[int, ...]
    """Token ids with which every output begins, at least one."""
    places: int
    """Length of the decoder's input, in tokens."""
    rows: int
    """Number N of outputs that are generated at once, one for each row of the other inputs."""
    reads: TextCodec
    """Vocabulary of the token ids that the decoder takes."""
    writes: TextCodec
    """Vocabulary of the tokens that the decoder predicts."""


def decode_ids(model: Decoder, length: int, sampling: Sampling) -> np.ndarray:
    """Return token ids (N, T) that a decoder generates for its N rows; after a text's end token, all ids are -1.

    The end token is included. A text ends with the end token or, if the vocabulary has none, with padding; at the
    latest when the decoder's input is full or the text has `length` tokens.
    """
    end = model.writes.end or (0,)  # padding
    read_as = torch.tensor(model.reads.numbers_of(model.writes))
    so_far = torch.zeros((model.rows, model.places), dtype=torch.int64)
    so_far[:, : len(model.begin)] = torch.tensor(model.begin)
    first = len(model.begin) - 1
    count = min(length, model.places - first)
    out = np.full((model.rows, count), -1)
    goes_on = np.ones(model.rows, bool)
    for place in range(first, first + count):
        with draws.using(draws.Draws(sampling.seed, "generate", place)), torch.inference_mode():
            chosen = sampled(model.predict(so_far)[:, place], model.writes, sampling, may=end[0])
        out[goes_on, place - first] = chosen.numpy()[goes_on]
        last = out[:, max(0, place - first + 1 - len(end)) : place - first + 1]
        goes_on &= (last != end[: last.shape[1]]).any(1) | (last.shape[1] < len(end))
        if place + 1 == model.places or not goes_on.any():
            break
        so_far[:, place + 1] = read_as[chosen]
    return out
