"""Downloads of data sets from a local server: stored under Keras's names, and only if undamaged."""

import gzip
import hashlib
import io
import os
import struct
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from kerascli.data.base import SOURCES, Context
from kerascli.data.datasets import download, fashion_mnist
from kerascli.data.datasets.cifar import Cifar10, parse_batch
from kerascli.data.datasets.download import Remote, fetch
from kerascli.foundation.errors import DataError
from tests.support.needs import library
from tests.support.server import Server
from tests.support.storage_harness import fork

CONTEXT = Context(Path(), 0)


def remote(contents: bytes = b"sound") -> Remote:
    return Remote("https://example.org/a/t.gz", "set/t.gz", 1000, lambda data: None if data == contents else "damaged")


def test_a_file_is_downloaded_once_and_kept_under_keras_home(server: Server, tmp_path: Path) -> None:
    server.files["t.gz"] = b"sound"
    seen: list[tuple[str, int, int]] = []
    context = Context(Path(), 0, progress=lambda *told: seen.append(told))
    assert fetch(remote(), context) == fetch(remote(), context) == b"sound"
    assert server.asked == ["/t.gz"]
    assert (tmp_path / "keras/datasets/set/t.gz").read_bytes() == b"sound"
    assert seen == [("t.gz", 5, 5)]


def test_a_damaged_file_at_home_is_replaced(server: Server, tmp_path: Path) -> None:
    server.files["t.gz"] = b"sound"
    path = tmp_path / "keras/datasets/set/t.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"sou")
    assert fetch(remote(), CONTEXT) == b"sound" == path.read_bytes()


def test_one_of_several_processes_downloads_and_the_others_wait(server: Server) -> None:
    """Here the processes are threads: the lock is that of an open file, and each has its own."""
    server.files["t.gz"] = b"sound"
    server.seconds = 0.2
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: fetch(remote(), CONTEXT), range(4))) == [b"sound"] * 4
    assert server.asked == ["/t.gz"]


@pytest.mark.parametrize(("caches", "downloads"), [(("one", "one"), 1), (("one", "two"), 2)])
def test_two_processes_of_one_machine_download_once_and_two_machines_one_complete_file_each(
    caches: tuple[str, str], downloads: int, server: Server, tmp_path: Path
) -> None:
    """Machines that share the folder of data sets, and no cache, do not hear of each other: the last file stays."""
    server.files["t.gz"] = b"sound"
    server.seconds = 0.2

    def fetch_with(cache: str) -> None:
        os.environ["XDG_CACHE_HOME"] = str(tmp_path / cache)
        assert fetch(remote(), CONTEXT) == b"sound"

    children = [fork(partial(fetch_with, each)) for each in caches]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert server.asked == ["/t.gz"] * downloads
    [kept] = (tmp_path / "keras/datasets/set").iterdir()
    assert (kept.name, kept.read_bytes()) == ("t.gz", b"sound")


@pytest.mark.parametrize(
    ("served", "cut", "reason"),
    [
        (None, 0, "the server says 404 Not Found"),
        (b"broken", 0, "damaged"),
        (b"sound", 2, "the connection ended after 3 of 5 bytes"),
        (b"s" * 1001, 0, "the server announces 1,001 bytes; the limit is 1,000"),
    ],
)
def test_what_goes_wrong_is_reported_and_nothing_is_kept(
    served: bytes | None, cut: int, reason: str, server: Server, tmp_path: Path
) -> None:
    if served is not None:
        server.files["t.gz"] = served
    server.cut = cut
    with pytest.raises(DataError) as caught:
        fetch(remote(), CONTEXT)
    fault = caught.value.faults[0]
    path = tmp_path / "keras/datasets/set/t.gz"
    assert fault.text == f"cannot download {server.url}/t.gz: {reason}"
    assert fault.hint == f"or place the file at '{path}' by hand"
    assert not path.parent.exists() or not list(path.parent.iterdir())


def test_of_a_damaged_file_that_cannot_be_replaced_it_is_said(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "keras/datasets/set/t.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"sou")
    with pytest.raises(DataError) as caught:
        fetch(remote(), CONTEXT)
    there = f"'{path}' exists, but cannot be used: damaged"
    assert caught.value.faults[0].text == f"cannot download {server.url}/t.gz: the server says 404 Not Found; {there}"
    assert path.read_bytes() == b"sou"


def test_without_a_network_the_way_out_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KERASCLI_DATASETS_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(DataError, match=r"^cannot download http://127.0.0.1:9/cifar-10-python.tar.gz: .*refused"):
        SOURCES.parse("cifar10").load(CONTEXT)


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes(), 1)


def sha256_of_contents(packed: bytes) -> str:
    return hashlib.sha256(gzip.decompress(packed)).hexdigest()


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("fashion_mnist", "keras/datasets/fashion-mnist"),
        ("fashion_mnist", "debian"),
        ("kmnist", "keras/datasets/kmnist"),
    ],
)
def test_mnists_are_read_from_the_files_of_keras_or_a_package(
    name: str, place: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / place
    folder.mkdir(parents=True)
    monkeypatch.setattr(fashion_mnist.FashionMnist, "packages", tmp_path / "debian")
    for prefix, rows in (("train", 60_000), ("t10k", 10_000)):
        images = np.zeros((rows, 28, 28), np.uint8)
        images[:, 3, 4] = np.arange(rows) % 251
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(idx(images))
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(idx((np.arange(rows) % 10).astype(np.uint8)))
    digests = {path.name: sha256_of_contents(path.read_bytes()) for path in folder.iterdir()}
    monkeypatch.setattr(fashion_mnist.FashionMnist, "checksums", digests)
    packed = {path.name: hashlib.md5(path.read_bytes(), usedforsecurity=False) for path in folder.iterdir()}
    monkeypatch.setattr(
        fashion_mnist.Kmnist, "checksums", {name: digest.hexdigest() for name, digest in packed.items()}
    )
    found = SOURCES.parse(name)
    tables = found.load(CONTEXT)
    assert not server.asked
    assert {path.parent for path in found.data_files(CONTEXT)} == {folder}
    for split, rows in (("train", 60_000), ("test", 10_000)):
        assert tables[split].array("x")[:, 3, 4].tolist() == (np.arange(rows) % 251).tolist()
        assert tables[split].array("y").tolist() == (np.arange(rows) % 10).tolist()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda data: data[:-1], "the file is incomplete or too large (gzip)"),
        (lambda data: data[:-6] + b"\0\0" + data[-4:], "the file is damaged (gzip)"),
        (lambda data: idx(np.zeros(4, np.uint8)), "expected an array of shape (3,), the file has (4,)"),
        (lambda data: gzip.compress(b"\0" * 60), "this is not an IDX file of bytes"),
        (lambda data: idx(np.array([1, 2, 4], np.uint8)), "its digest is not that of fashion_mnist"),
        (lambda data: gzip.compress(b"\0" * 10**6), "the file is incomplete or too large (gzip)"),
    ],
)
def test_spoilt_idx_files_are_noticed(
    spoil: Callable[[bytes], bytes], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = idx(np.array([1, 2, 3], np.uint8))
    monkeypatch.setattr(fashion_mnist.FashionMnist, "checksums", {"t": sha256_of_contents(data)})
    assert fashion_mnist.FashionMnist.problem(data, "t", (3,)) is None
    assert fashion_mnist.FashionMnist.problem(spoil(data), "t", (3,)) == reason


def test_torchvision_downloads_the_same_kmnist() -> None:
    theirs = library("torchvision").datasets.KMNIST
    assert dict(theirs.resources) == fashion_mnist.MD5
    assert theirs.mirrors == [f"{fashion_mnist.Kmnist.address}/"]
    assert tuple(theirs.classes) == fashion_mnist.Kmnist.classes


def batch(pixels: bytes, labels: list[int]) -> bytes:
    """A batch as pickled by Python 2 (protocol 2), with a numpy array, written by opcodes."""
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    rows = struct.pack("<H", len(labels))
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x06cnumpy\nndarray\nq\x07K\x00\x85U\x01b\x87Rq\x08"
        b"(K\x01M" + rows + b"M\x00\x0c\x86cnumpy\ndtype\nq\x09U\x02u1K\x00K\x01\x87Rq\x0a"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"T" + struct.pack("<I", len(pixels)) + pixels + b"q\x0btb"
    )
    names = b"U\x09filenamesq\x0c]q\x0d(" + b"".join(b"U\x05a.png" for _ in labels) + b"e"
    return (
        b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03U\x06labelsq\x04]q\x05("
        + numbers + b"eU\x04dataq\x0e" + array + names + b"u."
    )  # fmt: skip


def test_a_cifar_batch_is_read_without_unpickling() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3072)).astype(np.uint8)
    x, y = parse_batch(batch(pixels.tobytes(), [3, 0, 9]), "b")
    np.testing.assert_array_equal(x, pixels)
    assert y.tolist() == [3, 0, 9]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:500],
        lambda data: b"",
        lambda data: data.replace(b"labels", b"lapels"),
        lambda data: b"cposix\nsystem\n(U\x04trueq\x00tR.",
    ],
)
def test_spoilt_cifar_batches_are_refused_and_never_run(spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(DataError, match=r"^cifar10: 'b' "):
        parse_batch(spoil(batch(bytes(3072), [1])), "cifar10: 'b'")


def test_cifar10_comes_from_keras_archive_in_keras_layout(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (12, 3, 32, 32)).astype(np.uint8)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for number, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
            data = batch(pictures[2 * number : 2 * number + 2].tobytes(), [number, number])
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    server.files["cifar-10-python.tar.gz"] = buffer.getvalue()
    monkeypatch.setitem(download.SHA256, "cifar-10-python.tar.gz", hashlib.sha256(buffer.getvalue()).hexdigest())
    tables = SOURCES.parse("cifar10").load(CONTEXT)
    assert (tmp_path / "keras/datasets/cifar-10-batches-py-target_archive").exists()
    np.testing.assert_array_equal(tables["train"].array("x"), pictures[:10].transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(tables["test"].array("x"), pictures[10:].transpose(0, 2, 3, 1))
    assert tables["train"].array("y").tolist() == [[0], [0], [1], [1], [2], [2], [3], [3], [4], [4]]


@pytest.mark.parametrize(("mode", "labels"), [("fine", [[99], [3]]), ("coarse", [[19], [0]])])
def test_cifar100_has_two_kinds_of_labels(
    mode: str, labels: list[list[int]], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3072)).astype(np.uint8)
    fine = batch(pixels.tobytes(), [99, 3]).replace(b"U\x06labels", b"U\x0bfine_labels")
    data = fine[:-2] + b"U\x0dcoarse_labels]q\x20(K\x13K\x00eu."
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in ("train", "test"):
            member = tarfile.TarInfo(f"cifar-100-python/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    server.files["cifar-100-python.tar.gz"] = buffer.getvalue()
    monkeypatch.setitem(download.SHA256, "cifar-100-python.tar.gz", hashlib.sha256(buffer.getvalue()).hexdigest())
    source = SOURCES.parse({"cifar100": mode})
    tables, facts = source.load(CONTEXT), source.facts(CONTEXT)
    assert facts is not None
    assert facts["y"].num_classes == {"fine": 100, "coarse": 20}[mode]
    for split in ("train", "test"):
        assert tables[split].array("y").tolist() == labels
        pictures = pixels.reshape(2, 3, 32, 32).transpose(0, 2, 3, 1)
        np.testing.assert_array_equal(tables[split].array("x"), pictures)


def test_keras_finds_what_we_keep() -> None:
    """Keras's own sources give the paths where it looks for files."""
    keras_datasets = Path(library("keras").__path__[0]) / "src/datasets"
    text = (keras_datasets / "cifar10.py").read_text()
    assert download.SHA256["cifar-10-python.tar.gz"] in text
    assert Cifar10.remote().url in text
    assert f'dirname = "{Cifar10.remote().path.removesuffix("_archive")}"' in text
    text = (keras_datasets / "fashion_mnist.py").read_text()
    for path in SOURCES.parse("fashion_mnist").data_files(CONTEXT):
        assert f'"datasets", "{path.parent.name}"' in text
        assert f'"{path.name}"' in text
