"""Waves: windows of a sum of two sines, and the value that follows each of them."""

import numpy as np


def waves() -> dict[str, dict[str, np.ndarray]]:
    """Return 96 windows of 8 steps to train on, and 24 to validate on."""
    steps = np.arange(120)[:, None] + np.arange(9)
    values = (np.sin(steps / 3) + 0.5 * np.sin(steps / 7)).astype(np.float32)
    columns = {"past": values[:, :8, None], "next": values[:, 8]}
    return {
        "train": {name: value[:96] for name, value in columns.items()},
        "validation": {name: value[96:] for name, value in columns.items()},
    }
