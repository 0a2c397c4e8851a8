"""Reading files from outside: limits apply before memory is allocated."""

import bz2
import gzip
import io
import re
import resource
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pytest

from kerascli.data.base import SOURCES, Context
from kerascli.data.storage import array_files
from kerascli.data.storage.delimited.csv_text import read_csv
from kerascli.data.text.files import read_vocabulary
from kerascli.foundation.disk import files, npz
from kerascli.foundation.errors import DataError, DataMissing, Fault, FileRefused, KerasCliError


def test_a_missing_file_of_a_folder_that_cannot_be_listed_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(DataMissing) as caught:
        files.open_regular(tmp_path / "a.csv", "a.csv")
    assert caught.value.faults == (Fault("no such file 'a.csv'"),)


def test_a_deflate_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    """250 kB of zip that would decompress to 256 MB of zeros."""
    path = tmp_path / "bomb.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (2**28,)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as out:
        out.write(header.getvalue())
        for _ in range(2**8):
            out.write(bytes(2**20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with files.open_regular(path) as file, pytest.raises(FileRefused) as caught:
        npz.load_npz(file, "bomb.npz", limit=2**27)
    text = r"'bomb\.npz' has 261,\d{3} bytes and unpacks to 268,435,584; the limit is 200 to 1"
    assert re.fullmatch(text, caught.value.faults[0].text)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


def mutated(data: bytes, random: np.random.Generator) -> bytes:
    """Return data with a few bytes changed, removed or inserted, or truncated."""
    out = bytearray(data)
    for _ in range(random.choice([1, 1, 2, 8])):
        spot = int(random.integers(len(out) or 1))
        match random.integers(4):
            case 0:
                out[spot : spot + 1] = random.bytes(1)
            case 1:
                del out[spot : spot + int(random.choice([1, 4, 50]))]
            case 2:
                out[spot:spot] = bytes(random.choice(list(b'",\n\r\0;9-'), 2).tolist())
            case _:
                del out[spot:]
    return bytes(out)


def _read_csv(data: bytes) -> None:
    table = read_csv(data, "t.csv")
    assert all(len(table[name]) == table.rows == len(table.numbers()) for name in table)


def _read_npz(data: bytes) -> None:
    npz.load_npz(io.BytesIO(data), "t.npz")


def _npz() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=np.arange(50.0), t=np.array(["a", "bc"]))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("read", "data"), [(_read_csv, b'a,b,k\n1,2.5,"x, y"\n2,,"z\nq"\n\n3,4,w\n' * 2), (_read_npz, _npz())]
)
def test_changed_bytes_are_refused_or_read_and_nothing_else(read: Callable[[bytes], None], data: bytes) -> None:
    random = np.random.default_rng(8)
    refused = 0
    for _ in range(500):
        try:
            read(mutated(data, random))
        except KerasCliError:
            refused += 1
    assert 100 < refused < 500


def test_many_small_members_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "MAX_MEMBERS", 3)
    buffer = io.BytesIO()
    np.savez(buffer, *[np.zeros(1)] * 4)
    with pytest.raises(FileRefused, match=r"'t' has 4 members; the limit here is 3"):
        npz.load_npz(buffer, "t")


def test_a_member_that_stands_twice_is_refused() -> None:
    buffer = io.BytesIO()
    one = io.BytesIO()
    np.save(one, np.zeros(2))
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.npy", one.getvalue())
        archive.writestr("x", one.getvalue())
    with pytest.raises(FileRefused, match="'t' has the array 'x' twice"):
        npz.load_npz(buffer, "t")


def npy(shape: tuple[int, ...], data: bytes) -> bytes:
    """Return an npy file of float64 with an arbitrary header."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return header.getvalue() + data


def test_a_negative_size_does_not_make_room_for_another_array() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.npy", npy((100,), bytes(800)))
        archive.writestr("y.npy", npy((-100,), b""))
    with pytest.raises(FileRefused, match=r"'t' unpacks to 1,056 bytes; the limit here is 700"):
        npz.load_npz(buffer, "t", limit=700)
    with pytest.raises(FileRefused, match=r"'y' in 't' is not an npy array: a negative size in the shape \(-100,\)"):
        npz.load_npz(buffer, "t")


def test_bytes_after_an_array_count_too() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.npy", npy((1,), bytes(8 + 10_000)))
    with pytest.raises(FileRefused, match="'t' unpacks to 10,136 bytes"):
        npz.load_npz(buffer, "t", limit=1000)


def test_memory_is_what_the_container_may_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(files, "_CONTAINER_MEMORY", limit)
    machine = files.memory_limit()
    limit.write_text("max\n")
    assert files.memory_limit() == machine
    limit.write_text("2097152\n")
    assert files.memory_limit() == 2**20
    limit.write_text(f"{2**62}\n")
    assert files.memory_limit() == machine


def test_arrays_come_back_as_they_were_saved() -> None:
    arrays = {"a": np.arange(6).reshape(2, 3), "b": np.array(["x", "yz"]), "c": np.asfortranarray(np.ones((2, 2)))}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    found = npz.load_npz(buffer, "t")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


def test_a_file_over_its_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(b"12345")
    assert files.read_bytes(path, 5) == b"12345"
    with pytest.raises(DataError, match=r"has 5 bytes; the limit here is 4"):
        files.read_bytes(path, 4)


def test_a_digest_follows_the_file(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(b"one")
    first = files.file_digest(path)
    assert files.file_digest(path) == first == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    path.write_bytes(b"other")
    assert files.file_digest(path) != first


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"[" * 65 + b"]" * 65, "'t' is nested deeper than 64 levels"),
        (b'{"a": 1, "a": 2}', "'t' is not valid JSON: a key appears twice"),
        (b"[NaN]", "'t' is not valid JSON: NaN is not a number in JSON"),
        (b"{", "'t' is not valid JSON: "),
        (b"\xff", "'t' is not valid JSON: "),
    ],
)
def test_json_that_means_harm_or_nothing_is_refused(data: bytes, text: str) -> None:
    with pytest.raises(FileRefused) as caught:
        files.load_json(data, "t")
    assert caught.value.faults[0].text.startswith(text)


PACKED = {
    "blank lines": ("csv", b"a,b\n1,2\n" + b"\n" * 2**20),
    "commas": ("csv", b"," * 2**20),
    "short rows": ("csv", b"a,b\n" + b"1,2\n" * 2**18),
    "quoted words": ("csv", b"a\n" + b'"""x"\n' * 2**18),
    "objects": ("json_lines", b'{"a": 1}\n' * 2**17),
    "lists": ("json_lines", b'{"a": [' + b"[]," * 2**18 + b"1]}"),
    "keys of their own": ("json_lines", b"".join(b'{"k%d": 1}\n' % number for number in range(1000))),
}


@pytest.mark.parametrize("kind", PACKED)
def test_a_table_that_takes_far_more_than_its_file_is_refused_before_it_is_parsed(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, text = PACKED[kind]
    (tmp_path / "t.bz2").write_bytes(bz2.compress(text))
    monkeypatch.setattr(files, "UNPACKED_FREELY", 2**21)
    tracemalloc.start()
    with pytest.raises(FileRefused, match=r"^'t\.bz2' has [\d,]+ bytes and its table takes about [\d,]+; .* 200 to 1"):
        SOURCES.parse({source: "t.bz2"}).load(Context(tmp_path, 0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 2**20


def test_a_text_that_unpacks_to_far_more_than_its_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = b"a\n" + b"a long text\n" * 2**15
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text))
    source = SOURCES.parse({"csv": "t.csv.gz"})
    assert source.load(Context(tmp_path, 0))["train"].rows == 2**15  # small ones may be as repetitive as they are
    monkeypatch.setattr(files, "UNPACKED_FREELY", 2**17)
    with pytest.raises(FileRefused, match=r"bytes and unpacks to at least [\d,]+; the limit is 200 to 1") as caught:
        source.load(Context(tmp_path, 0))
    assert caught.value.exit_code == 4


TEXTS = {
    "short rows": b"a,b\n" + b"12,34\n" * 20_000,
    "wide rows": b",".join(b"c%d" % number for number in range(2000)) + b"\n" + (b"ab," * 1999 + b"ab\n") * 20,
    "Windows": b"a\r\n" + b"xyz\r\n" * 20_000,
    "read by rows": b"a,b\r" + b"12,34\r" * 20_000,
}


@pytest.mark.parametrize("kind", TEXTS)
def test_the_estimate_of_a_table_is_near_the_memory_that_it_takes(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    estimates: list[int] = []
    read_csv(TEXTS[kind], "t.csv")  # imports what it needs
    monkeypatch.setattr(files, "UNPACKED_FREELY", 0)
    monkeypatch.setattr(files, "MAX_RATIO", 0)
    monkeypatch.setattr(files, "refuse_table", lambda nbytes, *_: estimates.append(nbytes))
    allocated = pyarrow.total_allocated_bytes()
    tracemalloc.start()
    table = read_csv(TEXTS[kind], "t.csv")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    peak += pyarrow.total_allocated_bytes() - allocated
    assert table.rows > 0
    assert 0.4 < estimates[-1] / peak < 2.5


def test_texts_count_with_what_they_take_as_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "t.npz", x=np.full(1000, "ab"))
    np.save(tmp_path / "t.npy", np.full(1000, "ab"))
    (tmp_path / "t.txt").write_text("ab\n" * 1000)
    for module in (files, npz, array_files):
        monkeypatch.setattr(module, "memory_limit", lambda: 70_000)
    for source in ({"npz": "t.npz"}, {"npz": "t.npy"}, {"text_lines": "t.txt"}):
        with pytest.raises(FileRefused, match="the limit here is 70,000"):
            SOURCES.parse(source).load(Context(tmp_path, 0))
    with pytest.raises(FileRefused, match=r"^the table in .* takes about"):
        read_vocabulary(tmp_path / "t.txt", str)
    with pytest.raises(FileRefused, match=r"^the table in 't\.json' takes about"):
        files.load_json(b"[" + b"[]," * 1000 + b"1]", "t.json")
