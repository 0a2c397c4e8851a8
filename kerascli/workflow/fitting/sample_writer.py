"""Write what callbacks ask for in training into a run's folder: pictures, texts, embeddings for TensorBoard."""

from kerascli.callbacks.samples import Sampler
from kerascli.data.pipeline.prepare import PreparedData
from kerascli.foundation.disk.storage import write_bytes
from kerascli.foundation.events import WriteEmbeddings, WriteSample
from kerascli.runs.record import RunRecord
from kerascli.training.build import Experiment
from kerascli.workflow.fitting.projector import projector_files
from kerascli.workflow.generation import ModelContext, sample_file


class SampleWriter:
    """Writer of the samples (images, plots, texts) that callbacks generate in training, to samples/ of the run."""

    def __init__(self, record: RunRecord, experiment: Experiment, prepared: PreparedData) -> None:
        self._record = record
        callbacks = experiment.spec.fit.callbacks
        self._samplers = {each.sample_name: each for each in callbacks if isinstance(each, Sampler)}
        self._context = ModelContext(
            experiment, prepared.splits, prepared.learned, prepared.facts.targets, prepared.display_columns
        )

    def write(self, request: WriteSample | WriteEmbeddings) -> None:
        if isinstance(request, WriteSample):
            data, suffix = sample_file(self._samplers[request.name], self._context)
            self._record.write_sample(f"{request.epoch:04d}-{request.name}{suffix}", data)
            return
        for name, data in projector_files(self._context, request.view).items():
            write_bytes(self._record.log_folder(request.folder) / name, data)
