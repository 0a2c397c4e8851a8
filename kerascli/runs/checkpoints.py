"""Save and load the checkpoints of a run: files, and a manifest that lists them with SHA-256; find the newest undamaged
one.

    checkpoints/step-00000800.json                    the manifest, written last: with it the checkpoint exists
    checkpoints/step-00000800.1f3a….training          the files, named by step and content
    checkpoints/best.json                             a named slot: a copy of the manifest

No file that a manifest lists is ever overwritten, so a save that is interrupted harms no earlier one. A manifest names
the slots that it fills, so that a copy missing after a crash can be restored from it.
"""

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kerascli.foundation.disk import storage
from kerascli.foundation.disk.pieces import Pieces
from kerascli.foundation.errors import FileRefused
from kerascli.runs.checkpoint_manifest import BLOB_NAME, SLOT_NAME, BlobFile, Blobs, Manifest, blob_file, read_manifest
from kerascli.runs.reading import quoted

Needed = Callable[[Sequence[str]], Sequence[str]]
"""Type of functions from the names of all files of a checkpoint to the names of those that are read."""

_KEPT = 2
"""Number of the newest steps whose checkpoints are kept: the newest may be damaged."""
_BLOB = re.compile(rf"step-(\d{{8,15}})\.[0-9a-f]{{16}}\.{BLOB_NAME}")
_STEP = re.compile(r"step-(\d{8,15})\.json")
_SLOT = re.compile(rf"(?!step-)({SLOT_NAME})\.json")


class Checkpoint(NamedTuple):
    """Checkpoint that was read from disk and verified; `warnings` are about newer ones, skipped as damaged."""

    step: int
    blobs: Mapping[str, bytes]
    facts: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


class Checkpoints:
    """Checkpoints of a run on disk: those of the newest steps, and those saved under a name such as `best`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept: list[int] | None = None
        """Training steps of the checkpoints that are kept, oldest first, so that `save` need not list files; None if
        unknown."""

    def save(
        self,
        step: int,
        blobs: Mapping[str, bytes | Pieces],
        facts: Mapping[str, Any],
        *,
        slots: tuple[str, ...] = (),
        written: Mapping[str, BlobFile] | None = None,
    ) -> None:
        """Save a checkpoint of a training step durably, also under the names in `slots` (such as `best`); remove those
        that are no longer kept.

        `written` are files of the checkpoint that were written before, by `write_file`.
        Checkpoints of later steps are removed, too: they are of a training that was abandoned when an earlier step was
        resumed.
        """
        for slot in slots:
            if not _SLOT.fullmatch(f"{slot}.json"):
                raise ValueError(f"slot: expected lower-case letters, digits, '_' and '-', got '{slot}'")
        storage.make_folder(self.folder)
        filled = self._slots_of(self._manifest(step))  # by an earlier save of the same step
        files = {name: self._write_blob(step, name, blob) for name, blob in blobs.items()} | dict(written or {})
        storage.sync_folder(self.folder)  # the manifest must not be durable before its files
        manifest = Manifest(step=step, files=files, facts=dict(facts), slots=sorted({*slots, *filled}))
        before = [_intact(self._slot(slot)) for slot in manifest.slots]
        for path in (self._manifest(step), *map(self._slot, manifest.slots)):
            with storage.staged(path, manifest.sealed()) as staged:
                storage.place(staged, path)
        storage.sync_folder(self.folder)
        self._prune(step, [each for each in before if each is not None])

    def write_file(self, step: int, name: str, contents: bytes | Pieces) -> BlobFile:
        """Write one of the files of a checkpoint that another process saves; return its size and SHA-256."""
        storage.make_folder(self.folder)
        written = self._write_blob(step, name, contents)
        storage.sync_folder(self.folder)
        return written

    def settle(self, step: int) -> None:
        """Prepare the checkpoint folder to resume from `step`: remove later checkpoints, restore names lost in a crash.

        Later checkpoints are damaged, and their steps are trained again. They are removed before anything that they
        refer to is changed.
        """
        for slot in self.slots():
            with contextlib.suppress(FileRefused):
                manifest = read_manifest(self._source(slot, up_to=step))
                if manifest != _intact(self._slot(slot)):
                    storage.write_bytes(self._slot(slot), manifest.sealed())
        later = [each for each in self.steps() if each > step]
        for each in later:
            storage.remove_file(self._manifest(each))
        if later:
            storage.sync_folder(self.folder)
        self._kept = self._clear_up(step) or None

    def steps(self) -> list[int]:
        """Return the training steps that have a checkpoint, damaged or not, in ascending order."""
        return sorted(int(match[1]) for name in self._names() if (match := _STEP.fullmatch(name)))

    def newest(self, needed: Needed | None = None, *, up_to: int = 10**15) -> Checkpoint:
        """Return the undamaged checkpoint of the highest step, at most `up_to`. Raises FileRefused if there is none.

        `needed` returns the names of those of its files that are read, which are verified; None: all.
        """
        run, tried = quoted(self.folder.parent), []
        for step in [step for step in self.steps()[::-1] if step <= up_to]:
            try:
                checkpoint = self._load(self._manifest(step), needed)
                if checkpoint.step != step:
                    raise FileRefused(f"it says step {checkpoint.step}")
            except FileRefused as reason:
                tried.append(f"step {step}: {reason}")
                continue
            warnings = tuple(f"{run}: damaged checkpoint, {text}; using step {step}" for text in tried)
            return checkpoint._replace(warnings=warnings)
        if not tried:
            raise FileRefused(f"{run} has no checkpoint")
        raise FileRefused(f"{run} has no intact checkpoint ({len(tried)} tried: {'; '.join(tried)})")

    def named(self, slot: str) -> Checkpoint:
        """Return the checkpoint saved under a name such as `best`. Raises FileRefused if it is missing or damaged."""
        if slot not in self.slots():
            raise FileRefused(f"{quoted(self.folder.parent)} has no checkpoint {quoted(slot)}")
        try:
            return self._load(self._source(slot))
        except FileRefused as reason:
            raise FileRefused(f"checkpoint '{slot}' of {quoted(self.folder.parent)} is damaged: {reason}") from None

    def newest_facts(self) -> Mapping[str, Any]:
        """Return the facts (JSON part) of the newest checkpoint with an undamaged manifest; {} if there is none."""
        manifests = (_intact(self._manifest(step)) for step in self.steps()[::-1])
        return next((manifest.facts for manifest in manifests if manifest is not None), {})

    def slots(self) -> list[str]:
        """Return the names under which checkpoints are saved, such as `best`."""
        filled = {match[1] for name in self._names() if (match := _SLOT.fullmatch(name))}
        return sorted(filled.union(*(self._slots_of(self._manifest(step)) for step in self.steps())))

    def doubts(self) -> list[str]:
        """Return a list of warnings, one for each checkpoint manifest that is damaged or contradicts another."""
        intact, faults = dict[int, Manifest](), list[str]()
        for step in self.steps():
            try:
                intact[step] = read_manifest(self._manifest(step))
                if not all(path.exists() for path in intact[step].paths(self.folder).values()):
                    raise FileRefused("a file of it is missing")
            except FileRefused as reason:
                faults.append(f"step {step}: {reason}")
        for slot in self.slots():
            try:
                held = read_manifest(self._slot(slot))
                newer = any(slot in each.slots and each.step > held.step for each in intact.values())
                if newer or intact.get(held.step, held) != held or held.step > max(intact, default=held.step):
                    raise FileRefused("it contradicts the manifests of steps")
            except FileRefused as reason:
                faults.append(f"'{slot}': {reason}")
        return [f"{quoted(self.folder.parent)}: damaged checkpoint, {text}" for text in faults]

    def _source(self, slot: str, up_to: int = 10**15) -> Path:
        """Return the manifest file of a named checkpoint or, if a crash prevented its writing, that of the checkpoint's
        step.

        The step is the last one, at most `up_to`, whose manifest fills the slot.
        """
        path = self._slot(slot)
        filled = -1 if (manifest := _intact(path)) is None else manifest.step
        for step in self.steps()[::-1]:
            if filled <= step <= up_to and slot in self._slots_of(self._manifest(step)):
                return self._manifest(step)
        return path

    def _slots_of(self, path: Path) -> list[str]:
        """Return the names (`best` ...) under which the checkpoint of a manifest is saved; none if the manifest is
        damaged."""
        manifest = _intact(path)
        return [] if manifest is None else [slot for slot in manifest.slots if _SLOT.fullmatch(f"{slot}.json")]

    def _write_blob(self, step: int, name: str, blob: bytes | Pieces) -> BlobFile:
        with storage.staged(self.folder / f"step-{step:08d}.{name}", blob) as staged:
            storage.place(staged, self.folder / blob_file(step, name, staged.sha256))
        return BlobFile(bytes=staged.size, sha256=staged.sha256)

    def _load(self, path: Path, needed: Needed | None = None) -> Checkpoint:
        manifest = read_manifest(path)
        blobs = Blobs(manifest, self.folder, None if needed is None else needed(list(manifest.files)))
        return Checkpoint(manifest.step, blobs, manifest.facts)

    def _prune(self, newest: int, replaced: list[Manifest]) -> None:
        """Remove checkpoints that are no longer kept; `replaced` are the manifests whose names (`best`) the last save
        took over."""
        steps, self._kept = [*(self._kept or ()), newest], None
        kept, left = steps[-_KEPT:], steps[:-_KEPT]
        dropped = [manifest for step in left if (manifest := _intact(self._manifest(step))) is not None]
        if len(steps) == 1 or newest <= max(steps[:-1]) or len(dropped) < len(left):
            self._kept = self._clear_up(newest)
            return
        for manifest in dropped:
            storage.remove_file(self._manifest(manifest.step))
        for manifest in (*dropped, *replaced):
            holding = [each.step for slot in manifest.slots if (each := _intact(self._slot(slot))) is not None]
            if manifest.step not in (*kept, *holding):
                for path in manifest.paths(self.folder).values():
                    storage.remove_file(path)
        self._kept = kept

    def _clear_up(self, newest: int) -> list[int]:
        """Remove all files that no kept or named checkpoint needs; return the steps of the kept ones."""
        kept = [step for step in self.steps() if step <= newest][-_KEPT:]
        for step in set(self.steps()) - set(kept):
            storage.remove_file(self._manifest(step))
        needed: set[str] = set()
        for path in (*map(self._manifest, kept), *map(self._slot, self.slots())):
            with contextlib.suppress(FileRefused):  # a damaged manifest cannot be used, so its files are not kept
                needed.update(each.name for each in read_manifest(path).paths(self.folder).values())
        for name in self._names():
            if _BLOB.fullmatch(name) and name not in needed:
                storage.remove_file(self.folder / name)
        return kept

    def _names(self) -> list[str]:
        return [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []

    def _manifest(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}.json"

    def _slot(self, slot: str) -> Path:
        return self.folder / f"{slot}.json"


def _intact(path: Path) -> Manifest | None:
    """Return a checkpoint's manifest; None if it is missing or damaged."""
    with contextlib.suppress(FileRefused):
        return read_manifest(path)
    return None
