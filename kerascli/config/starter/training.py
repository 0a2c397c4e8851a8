"""Sections `compile` and `fit` of a generated config.
Loss and metrics depend on the target, epochs and batch size on the number of rows."""

from collections.abc import Sequence
from typing import Any

from kerascli.config.starter.draft import Draft


def compile_section(draft: Draft, classes: Sequence[str], *, balanced: bool, learning_rate: float = 1e-3) -> None:
    """Add the section `compile` to the draft: loss and metrics for classes, or for a number if `classes` is empty."""
    optimizer: Any = "adam" if learning_rate == 1e-3 else {"adam": learning_rate}
    if not classes:
        found: dict[str, Any] = {"loss": "mse", "optimizer": optimizer, "metrics": ["mae", "r2_score"]}
        draft.decide("compile", "a number: mean squared error; r2_score is 1 at best, and 0 for predicting the mean")
    elif len(classes) == 2:
        metrics = ["auc", "precision", "recall"] if balanced else ["accuracy", "auc"]
        found = {"loss": "binary_crossentropy", "optimizer": optimizer, "metrics": metrics}
        draft.decide("compile", "two classes: binary crossentropy of one probability")
    else:
        found = {"loss": "sparse_categorical_crossentropy", "optimizer": optimizer, "metrics": ["accuracy"]}
        draft.decide("compile", f"{len(classes)} classes: crossentropy of a probability for each")
    draft.sections["compile"] = found


def fit_section(
    draft: Draft, rows: int, *, balanced: bool = False, images: bool = False, validation: Any = "validation"
) -> None:
    """Add the section `fit` to the draft: batch size by the number of rows, and early stopping by validation loss."""
    batch = next((size for most, size in ((5_000, 32), (20_000, 64), (100_000, 256)) if rows < most), 1024)
    epochs, patience = next((each for most, each in ((5_000, (200, 20)), (100_000, (100, 10))) if rows < most), (40, 5))
    if images:
        epochs, patience = (60, 10) if rows < 5_000 else (30, 5)
    fit: dict[str, Any] = {"epochs": epochs, "batch_size": batch}
    fit |= {"validation_data": validation} if isinstance(validation, str) else {"validation_split": validation}
    if balanced:
        fit["class_weight"] = "balanced"
    fit["callbacks"] = [
        {"early_stopping": {"monitor": "val_loss", "patience": patience, "restore_best_weights": True}},
    ]
    draft.sections["fit"] = fit
    draft.decide("fit", f"at most {epochs} epochs: training stops when val_loss has not improved for {patience}")
