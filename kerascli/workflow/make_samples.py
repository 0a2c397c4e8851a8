"""Generate the samples (images, plots, texts of model outputs) of a run's callbacks again, from its final weights."""

from collections.abc import Iterator
from pathlib import Path

from kerascli.callbacks.samples import Sampler
from kerascli.foundation.errors import ConfigError
from kerascli.workflow.generation import ModelContext, sample_file
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.rows.command_rows import load_again


def context_of(run: LoadedRun, *, data: bool = True) -> ModelContext:
    """Return the ModelContext (model and data) with which the callbacks of a run generate samples.

    With `data`, the run's rows are loaded.
    """
    prepared = load_again(run) if data and run.data is not None else None
    return ModelContext(run.experiment, run.learned, prepared)


def draw_samples(run: LoadedRun) -> Iterator[Path]:
    """Generate the samples of a run's callbacks, as image or text files in the run's samples/; yield the files' paths.

    Raises ConfigError if no callback makes samples.
    """
    samplers = [callback for callback in run.experiment.spec.fit.callbacks if isinstance(callback, Sampler)]
    if not samplers:
        hint = "add one to fit.callbacks: sample_images, reconstructions, manifold_grid, generate_text ..."
        raise ConfigError(f"the run '{run.record.path}' has no callback that makes samples", hint=hint)
    context = context_of(run)
    for sampler in samplers:
        data, suffix = sample_file(sampler, context)
        yield run.record.write_sample(f"final-{sampler.sample_name}{suffix}", data)
