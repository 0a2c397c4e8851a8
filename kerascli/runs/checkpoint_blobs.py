"""Files of a checkpoint, verified and read one at a time, since all of them may not fit into memory."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from kerascli.foundation.errors import FileRefused
from kerascli.runs.checkpoint_manifest import BlobFile, Damaged, Manifest, read_verified
from kerascli.runs.reading import quoted


class Blobs(Mapping[str, bytes]):
    """Mapping from the name of a checkpoint's file to its contents, of which only the last one read stays in memory."""

    def __init__(self, manifest: Manifest, folder: Path, needed: Sequence[str] | None = None) -> None:
        """Verify the SHA-256 of the `needed` files of a checkpoint (None: all), and that its other files exist.

        Raises Damaged.
        """
        self._paths = manifest.paths(folder)
        self._files: Mapping[str, BlobFile] = manifest.files
        self._read: tuple[str, bytes] | None = None
        for name in reversed(list(manifest.files)):
            if needed is None or name in needed:
                self._read = (name, read_verified(self._paths[name], name, self._files[name]))
            elif not self._paths[name].is_file():
                raise Damaged(f"'{name}' is missing")

    def __getitem__(self, name: str) -> bytes:
        if self._read is None or self._read[0] != name:
            self._read = None
            try:
                self._read = (name, read_verified(self._paths[name], name, self._files[name]))
            except Damaged as reason:
                raise FileRefused(f"a checkpoint in {quoted(self._paths[name].parent)} is damaged: {reason}") from None
        return self._read[1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)
