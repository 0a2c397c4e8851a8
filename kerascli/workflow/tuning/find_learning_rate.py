"""Find a learning rate: train for some steps whose learning rate grows, and see where the loss falls fastest.

L. N. Smith, Cyclical Learning Rates for Training Neural Networks, 2017.
"""

import math
from functools import partial
from itertools import chain, count
from typing import TYPE_CHECKING, NamedTuple

from kerascli.config.config import Config
from kerascli.foundation.device import choose_device, prepare_cpu, use_threads
from kerascli.foundation.errors import ConfigError, Fault
from kerascli.report.plots import COLORS, GREY, in_style, new_figure, smoothed
from kerascli.schedules.base import Schedule
from kerascli.training.step import Progress
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.fitting.phases import PhaseRunner, prepare_phases
from kerascli.workflow.interchange.init_from import InitWeights

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = 100
"""Number of training steps of a sweep, unless the loss diverges before."""
FIRST, LAST = 1e-6, 10.0
"""Learning rates of the first and the last step; those between them are as far apart in their logarithms."""
_MOMENTUM = 0.9
"""Momentum of the moving average of the losses: losses of single batches are noisy."""
_DIVERGED = 4.0
"""Multiple of the lowest loss so far from which on the training diverges."""
_FEWEST = 10
"""Minimum number of steps to suggest a learning rate from."""


class Sweep(NamedTuple):
    """Result of a sweep: a smoothed loss for each learning rate, and the learning rate at which it falls fastest."""

    learning_rates: list[float]
    losses: list[float]
    suggestion: float


def find_learning_rate(config: Config, options: Options) -> Sweep:
    """Train a config's first phase for at most STEPS steps with growing learning rates, and return the losses.

    No run is made. Raises KerasCliError, as if the optimizer's learning rate follows a schedule.
    """
    prepare_cpu()
    use_threads(options.threads)
    phases = prepare_phases(config)
    first, training = phases[0].config, phases[0].spec.compile
    if training is None or phases[0].spec.train_step is not None:
        raise first.error([Fault("a sweep takes one optimizer, not those of train_step", ("fit",), "key")])
    rule = training.optimizer.rule
    if isinstance(rule.learning_rate, Schedule):
        hint = f"sweep with a number: --set compile.optimizer={{{rule.component_name}: 0.001}}"
        text = f"a sweep sets the learning rate, but the optimizer follows '{rule.learning_rate.component_name}'"
        raise first.error([Fault(text, ("compile", "optimizer"), hint=hint)])
    reached = Progress(epoch=phases[0].spec.fit.initial_epoch)
    fill = partial(InitWeights().load, config=first, options=options)
    state = PhaseRunner(phases, choose_device(options.device), options, reached, None, fill).state
    trainer = state.trainer
    rates = [FIRST * (LAST / FIRST) ** (step / (STEPS - 1)) for step in range(STEPS)]
    batches = chain.from_iterable(state.plan.batches(epoch, 0) for epoch in count(reached.epoch))
    losses, written, (optimizer,) = list[float](), list[float](), trainer.optimizers.by_name.values()
    for step, (rate, batch) in enumerate(zip(rates, batches, strict=False)):
        optimizer.set_learning_rate(rate)
        loss = trainer.module.objective.logged_values(trainer.step(batch, step))["loss"]
        if not math.isfinite(loss) or trainer.optimizers.bad_step() is not None:
            break
        written.append(loss)
        losses = smoothed(written, _MOMENTUM)
        if losses[-1] - min(losses) > (_DIVERGED - 1) * abs(min(losses)) and len(losses) >= _FEWEST:
            break
    if len(losses) < _FEWEST:
        text = f"the loss diverges within {len(losses)} steps, at a learning rate of {rates[len(losses) - 1]:.2g}"
        raise ConfigError(text, hint="look for extreme values in the data: the inputs may need normalization")
    return Sweep(rates[: len(losses)], losses, rates[_steepest(losses)])


def _steepest(losses: list[float]) -> int:
    """Return the index of the step, before the lowest loss, around which the smoothed loss falls fastest.

    The first steps are left out if there are others: their averages are of few batches, and fall or rise by chance.
    """
    lowest = max(losses.index(min(losses)), 2)
    first = _FEWEST if lowest > _FEWEST else 1
    slopes = [losses[step + 1] - losses[step - 1] for step in range(first, lowest)]
    return first + slopes.index(min(slopes))


@in_style()
def plot_sweep(sweep: Sweep) -> "Figure":
    """Return a figure of the losses by learning rate, with the suggested one."""
    figure = new_figure((7.2, 4.0))
    axes = figure.subplots()
    axes.plot(sweep.learning_rates, sweep.losses, color=COLORS[0])
    axes.axvline(sweep.suggestion, color=GREY, linewidth=0.9, linestyle="dotted", label=f"{sweep.suggestion:.2g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss (smoothed)")
    axes.legend()
    return figure
