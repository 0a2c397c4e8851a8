"""Division of batches into shards, and of shards among processes: plain arithmetic, the same on every process."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from kerascli.data.batches.loader import Batch, Portion


@dataclass(frozen=True, slots=True)
class Sharding:
    """Division of each batch into `shards` parts of consecutive rows, which are assigned to `size` processes.

    All processes have equally many shards. Without the config's `fit.shards` there is one shard for each process.
    """

    shards: int
    rank: int = 0
    size: int = 1

    @property
    def first(self) -> int:
        """Index of the first shard of this process."""
        return self.rank * self.shards // self.size

    @property
    def stop(self) -> int:
        """Index of the shard after this process's last one (exclusive end of its range of shards)."""
        return (self.rank + 1) * self.shards // self.size

    @property
    def portion(self) -> Portion:
        """Portion of each batch that this process reads."""
        return Portion(self.first, self.stop, self.shards)

    def is_first(self, number: int, batch: Batch) -> bool:
        """Return True if the shard with index `number` is the first shard with rows of a batch."""
        return number == -(-self.shards // batch.whole) - 1

    def parts(self, batch: Batch) -> Iterator[tuple[int, Batch]]:
        """Yield (index, rows) of each shard of this process, from the portion of a batch that it has read.

        Shards without rows, in a batch with fewer rows than shards, are not yielded.
        """
        start = self.first * batch.whole // self.shards
        for number in range(self.first, self.stop):
            first, stop = (each * batch.whole // self.shards - start for each in (number, number + 1))
            if stop > first:
                yield number, _rows(batch, first, stop)


def _rows(batch: Batch, first: int, stop: int) -> Batch:
    if stop - first == batch.rows:
        return batch

    def cut(section: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: values[first:stop] for name, values in section.items()}

    return Batch(cut(batch.inputs), cut(batch.targets), cut(batch.sample_weight), stop - first, batch.whole)
