"""Archives of runs: zip files of a run's folder, which may be a stranger's; commands read them in place of a folder.

The guards: few members, of a limited size and ratio, whose names lead nowhere else; no links; no code is run.
"""

import os
import re
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO

from kerascli.foundation import user_code
from kerascli.foundation.disk import storage
from kerascli.foundation.disk.files import DAMAGED, MAX_MEMBERS, open_file, refuse_bomb
from kerascli.foundation.disk.pieces import Pieces
from kerascli.foundation.errors import FileRefused, safe_text
from kerascli.foundation.replaced import replaced
from kerascli.runs.reading import must_open, quoted
from kerascli.runs.record import RunRecord

MAX_BYTES = 64 * 2**30

_PART = r"[^./\\:\x00-\x1f\x7f\ud800-\udfff][^/\\:\x00-\x1f\x7f\ud800-\udfff]{0,149}"
_NAME = re.compile(f"{_PART}(/{_PART}){{1,8}}")
"""Form of members' names: no absolute path, no `..`, no hidden file."""


def write_archive(run: RunRecord, path: Path) -> int:
    """Write a run's files to a zip file, always in the same bytes; return its size. Raises FileRefused, StorageError.

    Hidden files, such as the lock, are left out.
    """
    run.facts()
    with run.locked(), TemporaryFile() as file:
        with zipfile.ZipFile(file, "w") as archive, storage.reported("write", path):
            for each in sorted(run.path.rglob("*")):
                if each.is_symlink():
                    raise FileRefused(f"{quoted(each)} is a link, which an archive cannot hold")
                if each.is_dir() or each.name.startswith("."):
                    continue
                info = zipfile.ZipInfo(f"{run.folder_name}/{each.relative_to(run.path).as_posix()}")  # of 1980
                if not _NAME.fullmatch(info.filename):
                    raise FileRefused(f"{quoted(each)} cannot be in an archive by this name", hint="rename it")
                is_dense = each.suffix in {".safetensors", ".png", ".npz"}
                info.compress_type = zipfile.ZIP_STORED if is_dense else zipfile.ZIP_DEFLATED
                with must_open(each) as source:
                    info.file_size = os.fstat(source.fileno()).st_size
                    with archive.open(info, "w") as member:
                        shutil.copyfileobj(source, member)
        size = file.tell()
        file.seek(0)
        storage.write_bytes(path, Pieces(size, partial(_pieces, lambda: file)))
    return size


def _pieces(opening: Callable[[], IO[bytes]]) -> Iterator[bytes]:
    with opening() as file:
        yield from iter(partial(file.read, 2**20), b"")


@contextmanager
def open_archive(path: Path, *, trusts_plugins: bool) -> Iterator[RunRecord]:
    """Context manager with the run in an archive, read from a temporary folder; its code is run only if it is trusted.

    Raises FileRefused.
    """
    with TemporaryDirectory(prefix="kerascli-archive-") as folder:
        run = RunRecord.open(_extracted(path, Path(folder)))
        run.archive = path
        with replaced(user_code, "refusal", None if trusts_plugins else f"{quoted(path)} is an archive"):
            yield run


def _extracted(path: Path, folder: Path) -> Path:
    """Write the members of an archive into a folder; return that of the run. Raises FileRefused."""
    try:
        with open_file(path) as file, zipfile.ZipFile(file) as archive:
            members = _members(archive, path)
            root = _root([info.filename for info in members], path)
            for info in members:
                file_path, parts = folder / info.filename, partial(_pieces, partial(archive.open, info))
                storage.make_folder(file_path.parent)
                storage.write_bytes(file_path, Pieces(info.file_size, parts))
    except DAMAGED as error:
        raise FileRefused(f"{quoted(path)} is damaged, or no zip file: {safe_text(str(error), 120)}") from None
    return folder / root


def _is_ours(info: zipfile.ZipInfo) -> bool:
    """Return True if a member could be of `write_archive`: a plain file of an ordinary name, packed in a usual way."""
    is_file = stat.S_IFMT(info.external_attr >> 16) in {0, stat.S_IFREG} and _NAME.fullmatch(info.filename) is not None
    return is_file and info.compress_type in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED} and not info.flag_bits & 1


def _members(archive: zipfile.ZipFile, path: Path) -> list[zipfile.ZipInfo]:
    """Return the members of an archive that are files, after checks of what it declares. Raises FileRefused."""
    count, members = len(archive.infolist()), [info for info in archive.infolist() if not info.is_dir()]
    size = sum(info.file_size for info in members)
    refuse_bomb(size, path.stat().st_size, str(path), "unzip it yourself, if you trust it")
    if count > MAX_MEMBERS or size > MAX_BYTES:
        limits = f"the limits are {MAX_MEMBERS:,} and {MAX_BYTES:,}"
        raise FileRefused(f"{quoted(path)} has {count:,} members of {size:,} bytes; {limits}")
    for name in (info.filename for info in members if not _is_ours(info)):
        text = f"{quoted(path)} has a member {quoted(name[:60])} that none of ours has"
        raise FileRefused(text, hint="make it by: kerascli runs archive RUN -o run.zip")
    return members


def _root(names: list[str], path: Path) -> str:
    """Return the name of the run's folder, in which all members of an archive are. Raises FileRefused."""
    roots = {name.partition("/")[0] for name in names}
    parents = {str(each) for name in names for each in Path(name).parents}
    if len(roots) != 1 or f"{min(roots)}/run.json" not in names:
        raise FileRefused(f"{quoted(path)} is not the archive of one run: expected a folder with a run.json")
    if len(set(names)) < len(names) or not parents.isdisjoint(names):
        raise FileRefused(f"{quoted(path)} has two members of one name")
    return min(roots)
