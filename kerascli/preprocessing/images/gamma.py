"""Random numbers of the gamma distribution; those of the beta and Dirichlet distributions are computed from them."""

import torch
from torch import Tensor

from kerascli.foundation import draws

_TRIALS = 16
"""Number of candidates drawn in parallel; each is rejected with a probability below 0.05, so one is all but certain."""


def log_gamma_numbers(like: Tensor, alpha: float | Tensor) -> Tensor:
    """Draw logarithms of gamma(alpha) distributed random numbers, in the shape of `like`.

    It is Marsaglia and Tsang's method (2000) for alpha + 1, reduced by u ** (1 / alpha): instead of rejecting, it makes
    several trials at once; logarithms do not underflow where a small alpha makes numbers too small.
    """
    alpha = alpha if isinstance(alpha, Tensor) else like.new_full((), alpha)
    trials = like.new_empty((*like.shape, _TRIALS))
    d = alpha + 2 / 3
    normal = draws.normal(trials)
    cube = (1 + normal / (9 * d) ** 0.5) ** 3
    log_cube = cube.clamp(min=1e-30).log()
    fits = (cube > 0) & (_log(draws.uniform(trials)) < 0.5 * normal**2 + d * (1 - cube + log_cube))
    first = torch.where(fits, torch.arange(_TRIALS, device=like.device), _TRIALS - 1).amin(-1, keepdim=True)
    log_number = log_cube.gather(-1, first).squeeze(-1)
    return log_number + d.log() + _log(draws.uniform(like)) / alpha


def _log(uniform: Tensor) -> Tensor:
    return uniform.clamp(min=torch.finfo(uniform.dtype).tiny).log()
