"""A language model writes: the next word is drawn from what it predicts, and read with the rest."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from kerascli import draws
from kerascli.data.text_codec import TextCodec


@dataclass(frozen=True, slots=True)
class Choice:
    """How the next word is chosen."""

    temperature: float = 1.0
    """0: always the most probable."""
    top_k: int | None = None
    """Only among so many."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TextModel:
    """A model whose input is the numbers of so many words, and whose output tells the next."""

    predict: Callable[[Tensor], Tensor]
    """Numbers (1, window) -> a probability or a logit for each word (1, words), or at every step (1, window, words)."""
    window: int
    reads: TextCodec
    writes: TextCodec


def continued(model: TextModel, numbers: list[int], length: int, choice: Choice) -> Iterator[str]:
    """The words that follow, one by one. `numbers` are those of the prompt, one at least.

    A model that predicts at every step reads the prompt from its first place on. One that predicts after the last
    step reads a full window: a shorter prompt is repeated in front of itself.
    """
    number_of = {word: number for number, word in enumerate(model.reads.words) if number >= model.reads.special}
    text = list(numbers)
    for place in range(length):
        with draws.using(draws.Draws(choice.seed, "generate", place)), torch.inference_mode():
            scores = _next(model, text[-model.window :])
            chosen = _chosen(scores, model.writes, choice)
        word = model.writes.words[chosen]
        yield word
        text.append(number_of.get(word, chosen))


def _next(model: TextModel, text: list[int]) -> Tensor:
    """The scores of the word after `text` (words,)."""
    missing = model.window - len(text)
    at_end = torch.tensor([text + [0] * missing])
    output = model.predict(at_end)
    if output.dim() == 3:
        return output[0, len(text) - 1]
    if missing:
        times = -(-missing // len(text))
        output = model.predict(torch.tensor([(text * times)[-missing:] + text]))
    return output[0]


def _chosen(scores: Tensor, codec: TextCodec, choice: Choice) -> int:
    scores = scores.double().cpu()[: len(codec.words)]
    are_probabilities = bool((scores >= 0).all()) and abs(float(scores.sum()) - 1) < 1e-2
    logits = scores.clamp_min(1e-300).log() if are_probabilities else scores
    logits[: codec.special] = -torch.inf
    if choice.temperature == 0:
        return int(logits.argmax())
    if choice.top_k is not None and choice.top_k < len(logits):
        logits[logits < logits.topk(choice.top_k).values[-1]] = -torch.inf
    sums = torch.softmax(logits / choice.temperature, -1).cumsum(0)
    drawn = draws.uniform(torch.empty(1, dtype=torch.float64)) * sums[-1]
    return min(int(torch.searchsorted(sums, drawn, right=True)), len(logits) - 1)
