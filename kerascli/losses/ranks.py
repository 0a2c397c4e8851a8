"""How tensors of different ranks meet: (N,) and (N, 1) never become (N, N)."""

from torch import Tensor


def match_ranks(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Keras's rule for a last axis of 1 that only one has: (N,) grows it, longer ones drop it."""
    if a.ndim == b.ndim + 1 and a.shape[-1] == 1:
        return (a, b.unsqueeze(-1)) if b.ndim == 1 else (a.squeeze(-1), b)
    if b.ndim == a.ndim + 1 and b.shape[-1] == 1:
        return (a.unsqueeze(-1), b) if a.ndim == 1 else (a, b.squeeze(-1))
    return a, b


def matched(y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
    """Both with one shape, by `match_ranks`; raises ValueError where that cannot be."""
    y_true, y_pred = match_ranks(y_true, y_pred)
    if y_true.shape != y_pred.shape:
        shapes = f"{tuple(y_true.shape)} do not match predictions of shape {tuple(y_pred.shape)}"
        raise ValueError(f"targets of shape {shapes}")
    return y_true, y_pred


def spread(weight: Tensor, values: Tensor, what: str) -> Tensor:
    """`weight` with axes of 1 behind, so that it goes with the leading axes of `values`."""
    fits = weight.ndim <= values.ndim and all(w in (1, v) for w, v in zip(weight.shape, values.shape, strict=False))
    if not fits:
        raise ValueError(f"{what} of shape {tuple(weight.shape)} do not fit values of shape {tuple(values.shape)}")
    return weight.reshape(*weight.shape, *[1] * (values.ndim - weight.ndim))
