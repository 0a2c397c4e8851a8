"""Write the samples (images, plots, texts) that callbacks generate during training into the run folder."""

from collections.abc import Sequence

from kerascli.callbacks.samples import SampleContext, Sampler, Text
from kerascli.data.pipeline.prepare import PreparedData
from kerascli.report.pictures import picture
from kerascli.runs.record import RunRecord
from kerascli.training.build import Experiment
from kerascli.workflow.generation.studio import ModelStudio


def made(sampler: Sampler, studio: SampleContext) -> tuple[bytes, str]:
    """Generate the sample (image or text) that a callback defines; return (contents of its file, file suffix)."""
    sample = sampler.sample(studio)
    if isinstance(sample, Text):
        return sample.text.encode(), ".txt"
    return picture(sample), ".png"


class SampleWriter:
    """Writer of the samples (images, plots, texts) that callbacks generate during training, into the run's samples/."""

    def __init__(self, record: RunRecord, samplers: Sequence[Sampler], studio: SampleContext) -> None:
        self._record = record
        self._samplers = {sampler.sample_name: sampler for sampler in samplers}
        self._studio = studio

    def write(self, name: str, epoch: int) -> None:
        data, suffix = made(self._samplers[name], self._studio)
        self._record.write_sample(f"{epoch:04d}-{name}{suffix}", data)


def sample_writer(record: RunRecord, experiment: Experiment, prepared: PreparedData) -> SampleWriter:
    """Return the writer of the samples (images, plots, texts) that callbacks generate during a training run."""
    samplers = [callback for callback in experiment.spec.fit.callbacks if isinstance(callback, Sampler)]
    studio = ModelStudio(
        experiment, prepared.splits, prepared.learned, prepared.facts.targets, prepared.display_columns
    )
    return SampleWriter(record, samplers, studio)
