"""Guard against a non-finite loss or gradient: such a step and all later ones leave the weights unchanged.

The check needs no device sync.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class Guard:
    """Guard that applies an optimizer step only if loss and gradients are finite, in this step and in all before it.

    On the CPU, or with `waits`, the check is synchronous; otherwise its result stays on the device. Guards that are
    `linked` stop together: a bad step of one is the last step of all.
    """

    def __init__(self, device: torch.device, linked: "Guard | None" = None, *, waits: bool = False) -> None:
        self.waits = waits or device.type == "cpu"
        """True if the check for finite values is synchronous: a non-finite step is then skipped instead of undone."""
        self._good: Tensor | int = 0 if self.waits else torch.zeros((), dtype=torch.int64, device=device)
        self._ok = torch.ones((), dtype=torch.bool, device=device) if linked is None else linked._ok

    def run(self, step: Callable[[], None], loss: Tensor, gradients: Sequence[Tensor], live: Sequence[Tensor]) -> None:
        """Run the optimizer's `step`, which changes the tensors `live`, if loss and gradients are and were finite."""
        if self.waits:
            self.run_checked(step, good=are_finite((loss.detach(), *gradients)))
        else:
            self._ok &= torch.isfinite(torch.stack(_extremes((loss.detach(), *gradients)))).all()
            before = [vector.clone() for vector in live]
            step()
            for vector, old in zip(live, before, strict=True):
                torch.where(self._ok, vector, old, out=vector)
            self._good += self._ok

    def run_checked(self, step: Callable[[], None], *, good: bool) -> None:
        """Run the optimizer's `step` if `good` (its loss and gradients are finite) and all earlier steps were good."""
        if not good:
            self._ok.fill_(False)
        if self._ok:
            step()
            self._good += 1

    def choose(self, new: Tensor, old: Tensor) -> Tensor:
        """Return `new` if loss and gradients were finite in all steps so far, else `old`."""
        if self.waits:
            return new if self._ok else old
        return torch.where(self._ok, new, old)

    def start_at(self, steps: int) -> None:
        """Reset the guard to its state after `steps` steps with finite losses and gradients."""
        self._good += steps - self._good
        self._ok.fill_(True)

    def bad_step(self) -> int | None:
        """Return the number (from 1) of the first step whose loss or gradients were not finite; else None.

        Syncs with the device.
        """
        return None if bool(self._ok) else int(self._good) + 1


def are_finite(values: Sequence[Tensor]) -> bool:
    """Return True if no element of the tensors is NaN or infinite. Syncs with the device."""
    extremes = _extremes(values)
    on_cpu = all(extreme.is_cpu for extreme in extremes)  # where reading each is faster than joining them
    return all(map(math.isfinite, extremes if on_cpu else torch.stack(extremes).tolist()))


def _extremes(values: Sequence[Tensor]) -> list[Tensor]:
    """Return the minimum and maximum of each tensor, which are finite if and only if all its elements are.

    One pass over each tensor; a sum would take as long, and could overflow although no element is infinite.
    """
    return [each for value in values if value.numel() for each in (torch.aminmax(value) if value.ndim else (value,))]
