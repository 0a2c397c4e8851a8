"""Reasons by occlusion: how much a score falls if a part of a picture is covered, or a word left out (Zeiler and
Fergus, 2014)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kerascli.data.batches.loader import BatchSource
from kerascli.data.batches.rows import MemorySplit
from kerascli.training.evaluate import predict
from kerascli.workflow.fitting.plan import rows_in_order
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.rows.command_rows import rows_of
from kerascli.workflow.why.gradients import ROWS, run_model
from kerascli.workflow.why.score import Score

_PATCHES = 8
"""Number of patches along the shorter side of a picture; they overlap by half."""


@torch.no_grad()
def occluded_pictures(run: LoadedRun, rows: MemorySplit, name: str, score: Score) -> Tensor:  # (rows, height, width)
    """Return how much the score falls, at each pixel of the pictures of the input `name`, if a patch covers it.

    A patch has the picture's mean of each channel; a pixel's value is the mean over all patches that cover it.
    """
    maps: list[Tensor] = []
    run.experiment.module.eval()
    for number, batch in enumerate(BatchSource(rows, ROWS, run.experiment.device).epoch(0)):
        inputs = run.experiment.module.input_stage(dict(batch.inputs))
        pictures, first = inputs[name].float(), number * ROWS
        before = score(run_model(run, inputs), first)
        height, width = pictures.shape[1:3]
        side = max(1, min(height, width) // _PATCHES)
        sums, counts = torch.zeros_like(pictures[..., 0]), torch.zeros_like(pictures[0, ..., 0])
        mean = pictures.mean((1, 2), keepdim=True)
        for top in range(0, height - side + 1, max(1, side // 2)):
            for left in range(0, width - side + 1, max(1, side // 2)):
                covered, patch = pictures.clone(), (slice(top, top + side), slice(left, left + side))
                covered[:, *patch] = mean
                fall = before - score(run_model(run, {**inputs, name: covered}), first)
                sums[:, *patch] += fall[:, None, None]
                counts[patch] += 1
        maps.append((sums / counts.clamp(min=1)).cpu())
    return torch.cat(maps)


def occluded_words(run: LoadedRun, texts: Sequence[str], score: Score) -> list[list[tuple[str, float]]]:
    """Return, for each text, its words with how much the score falls if the word is left out."""
    reasons: list[list[tuple[str, float]]] = []
    before = _scores(run, _of_texts(run, texts), score)
    for number, text in enumerate(texts):
        words = text.split()
        without = [" ".join([*words[:place], *words[place + 1 :]]) for place in range(len(words))]
        if not words:
            reasons.append([])
            continue
        rows = _of_texts(run, without)
        falls = before[number] - _scores(run, rows, score.of_row(number, rows.rows))
        reasons.append(list(zip(words, falls.tolist(), strict=True)))
    return reasons


def _of_texts(run: LoadedRun, texts: Sequence[str]) -> MemorySplit:
    rows = rows_of(run, targets=False, texts=texts)
    return rows.read(slice(0, rows.rows))


def _scores(run: LoadedRun, rows: MemorySplit, score: Score) -> Tensor:
    source = rows_in_order(run.experiment, rows, metrics=False)
    return score(predict(run.experiment.module, run.shared_batches(source), seed=run.experiment.spec.seed))
