"""Write TensorBoard event files in a run's logs/. They are appended to: TensorBoard reads them as they grow."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from kerascli.runs.record import RunRecord


class TensorBoardWriters:
    """TensorBoard's SummaryWriters of a run, one for each folder in its logs/, opened on the first write."""

    def __init__(self, record: RunRecord) -> None:
        self._record = record
        self._writers: dict[str, Any] = {}

    def write_scalars(self, folder: str, step: int, values: Mapping[str, float]) -> None:
        writer = self._writer(folder)
        for name, value in values.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    def write_histograms(self, folder: str, step: int, weights: Mapping[str, Tensor]) -> None:
        """Write a histogram of every weight whose values are all finite."""
        writer = self._writer(folder)
        for name, weight in weights.items():
            if weight.numel() and bool(weight.isfinite().all()):
                writer.add_histogram(name, weight, step)
        writer.flush()

    def _writer(self, folder: str) -> Any:
        """Return a folder's SummaryWriter. Each process adds a file: epochs trained again after a kill appear twice."""
        if folder not in self._writers:
            from torch.utils.tensorboard import SummaryWriter

            self._writers[folder] = SummaryWriter(str(self._record.log_folder(folder)))
        return self._writers[folder]
