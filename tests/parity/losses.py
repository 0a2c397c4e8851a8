"""Targets and predictions for losses and metrics."""

import numpy as np


class Data:
    """Targets and predictions of one kind: (6, 4) or, over time, (6, 3, 4)."""

    def __init__(self, kind: str, shape: tuple[int, ...]) -> None:
        random = np.random.default_rng(5)
        logits = random.normal(size=shape)
        classes = random.integers(0, shape[-1], size=shape[:-1])
        one_hot = np.eye(shape[-1])[classes]
        exponentials = np.exp(logits)
        softmax = exponentials / exponentials.sum(-1, keepdims=True)
        sigmoid = 1 / (1 + np.exp(-logits))
        sigmoid.flat[0], sigmoid.flat[1] = 0.0, 1.0  # what clipping is for
        yes_no = random.integers(0, 2, size=shape).astype(float)
        self.true, self.pred = {
            "numbers": (random.normal(size=shape), logits),
            "counts": (random.poisson(3.0, size=shape).astype(float), np.exp(logits)),
            "one_hot": (one_hot, softmax * 1.3),  # sums to 1.3: Keras divides by the sum
            "one_hot_logits": (one_hot, logits),
            "classes": (classes, softmax),
            "classes_logits": (classes, logits),
            "yes_no": (yes_no, sigmoid),
            "yes_no_logits": (yes_no, logits),
            "signs": (2 * yes_no - 1, logits),
        }[kind]
