"""A step whose loss or gradient is not finite changes nothing, nor does any after it; no waiting to find out."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class Guard:
    """Lets good steps through. On the CPU it looks at once; elsewhere the answer stays on the device, or `waits`.

    Guards with one `beside` them stop together: a bad step of one is the last of all.
    """

    def __init__(self, device: torch.device, beside: "Guard | None" = None, *, waits: bool = False) -> None:
        self.waits = waits or device.type == "cpu"
        """Whether looking costs nothing: then a bad step is left out, not undone."""
        self._good = torch.zeros((), dtype=torch.int64, device=device)
        self._ok = torch.ones((), dtype=torch.bool, device=device) if beside is None else beside._ok

    def run(self, step: Callable[[], None], loss: Tensor, gradients: Sequence[Tensor], live: Sequence[Tensor]) -> None:
        """Do `step`, which changes `live`, unless the loss, a gradient or an earlier step was bad."""
        if self.waits:
            self.run_known(step, good=are_finite((loss.detach(), *gradients)))
        else:
            self._ok &= torch.isfinite(_extremes((loss.detach(), *gradients))).all()
            before = [vector.clone() for vector in live]
            step()
            for vector, old in zip(live, before, strict=True):
                torch.where(self._ok, vector, old, out=vector)
            self._good += self._ok

    def run_known(self, step: Callable[[], None], *, good: bool) -> None:
        """`run` for one that has looked already."""
        if not good:
            self._ok.fill_(False)
        if self._ok:
            step()
            self._good += 1

    def skip(self) -> None:
        """A step that changes nothing and is not bad."""
        self._good += 1

    def choose(self, new: Tensor, old: Tensor) -> Tensor:
        """`new` while all steps were good, else `old`."""
        if self.waits:
            return new if self._ok else old
        return torch.where(self._ok, new, old)

    def start_at(self, steps: int) -> None:
        """Forget what was; `steps` good ones came before."""
        self._good.fill_(steps)
        self._ok.fill_(True)

    def bad_step(self) -> int | None:
        """The first bad step, counted from 1, or None. Waits for the device."""
        return None if bool(self._ok) else int(self._good) + 1


def are_finite(values: Sequence[Tensor]) -> bool:
    """Return True if no number is NaN or infinite. Waits for the device."""
    return all(map(math.isfinite, _extremes(values).tolist())) if values else True


def _extremes(values: Sequence[Tensor]) -> Tensor:
    """The smallest and the largest number of each tensor: both are finite if, and only if, all its numbers are.

    One pass over each; a sum would take as long, and overflow where no number does.
    """
    return torch.stack([extreme for value in values for extreme in torch.aminmax(value)])
