"""Generate the samples (images, plots, texts of model outputs) of a run's callbacks again, from its final weights."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from kerascli.callbacks.samples import Sampler
from kerascli.foundation.disk.storage import make_folder, write_bytes
from kerascli.foundation.errors import ConfigError, safe_text, suggestion
from kerascli.workflow.generation import ModelContext, sample_file
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.outputs import writable, writable_folder
from kerascli.workflow.rows.command_rows import load_again


def context_of(run: LoadedRun, *, data: bool = True) -> ModelContext:
    """Return the ModelContext (model and data) with which the callbacks of a run generate samples.

    With `data`, the run's rows are loaded.
    """
    prepared = load_again(run) if data and run.data is not None else None
    return ModelContext(run.experiment, run.learned, prepared)


def draw_samples(run: LoadedRun, names: Sequence[str], folder: Path | None) -> Iterator[Path]:
    """Generate the samples of a run's callbacks, as image or text files in `folder`; yield the files' paths.

    `names` are the names of the callbacks (empty: all); without `folder`, the files are in the run's samples/. Raises
    ConfigError.
    """
    callbacks = run.experiment.spec.fit.callbacks
    samplers = {callback.sample_name: callback for callback in callbacks if isinstance(callback, Sampler)}
    for name in names:
        if name not in samplers:
            hint = f"it has {', '.join(samplers)}" if samplers else "it has none"
            text = f"--callback: the run makes no sample '{safe_text(name)}'{suggestion(name, samplers)}"
            raise ConfigError(text, hint=hint)
    if not samplers:
        hint = "add one to fit.callbacks: sample_images, reconstructions, manifold_grid, generate_text ..."
        raise ConfigError(f"the run '{run.record.path}' has no callback that makes samples", hint=hint)
    context = context_of(run)
    if folder is not None:
        writable_folder(folder)
        make_folder(folder)
    for name in names or samplers:
        data, suffix = sample_file(samplers[name], context)
        if folder is None:
            yield run.record.write_sample(f"final-{name}{suffix}", data)
        else:
            write_bytes(writable(folder / f"{name}{suffix}", run=run.record), data)
            yield folder / f"{name}{suffix}"
