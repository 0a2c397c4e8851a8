"""Small data in the formats that shipped configs download or name by path: two training steps for each."""

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kerascli.data.base import SOURCES, Context
from kerascli.data.datasets import download, fashion_mnist
from kerascli.interop import published
from tests.data.test_download import batch, idx, sha256_of_contents
from tests.data.test_sequences import lists, npz
from tests.support.torch_networks import ResNet18, publish, saved

_RANDOM = np.random.default_rng(3)
_TEXT = "how what do you learn to cook swim read fast well was good bad it helped me never slept"
_WORDS = np.array(_TEXT.split(" "))


def place(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Place all data: data sets in Keras's home, weights in torch's, files in `folder` (the configs' `data`)."""
    home = folder / "keras"
    place_cifar10(home, patch)
    _keep(home, "imdb.npz", _texts("_train", "_test", classes=2), "imdb.npz", patch)
    _keep(home, "reuters.npz", _texts("", classes=46), "reuters.npz", patch)
    _clothes(home / "datasets", patch)
    file = publish("resnet18", saved(ResNet18().state_dict()), folder / "torch", patch)
    file.rename(file.with_name("resnet18-f37072fd.pth"))
    patch.setattr(published, "_checksum", lambda _: file.stem[-8:])
    for write in (_captions, _films, _houses, _mnist, _pictures, _questions, _reviews, _sentences):
        write(folder)


def place_cifar10(home: Path, patch: pytest.MonkeyPatch) -> None:
    """Place CIFAR-10 with 60 images per file in Keras's home."""
    _keep(home, "cifar-10-batches-py-target_archive", _cifar(), "cifar-10-python.tar.gz", patch)


def _keep(home: Path, path: str, data: bytes, name: str, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("KERAS_HOME", str(home))
    where = home / "datasets" / path
    where.parent.mkdir(parents=True, exist_ok=True)
    where.write_bytes(data)
    patch.setitem(download.SHA256, name, hashlib.sha256(data).hexdigest())


def _cifar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
            data = batch(_RANDOM.integers(0, 256, 60 * 3072).astype(np.uint8).tobytes(), [i % 10 for i in range(60)])
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _clothes(folder: Path, patch: pytest.MonkeyPatch) -> None:
    (folder / "fashion-mnist").mkdir()
    small = {
        split: tuple((name, (400, *shape[1:])) for name, shape in files)
        for split, files in fashion_mnist._FILES.items()
    }
    data = {
        name: idx(_RANDOM.integers(0, 256 if len(shape) > 1 else 10, shape).astype(np.uint8))
        for files in small.values()
        for name, shape in files
    }
    for name, contents in data.items():
        (folder / "fashion-mnist" / name).write_bytes(contents)
    patch.setattr(fashion_mnist, "_FILES", small)
    patch.setattr(
        fashion_mnist.FashionMnist, "checksums", {name: sha256_of_contents(contents) for name, contents in data.items()}
    )


def _texts(*suffixes: str, classes: int) -> bytes:
    """Write 300 texts per split, some of each class."""
    arrays = {}
    for suffix in suffixes:
        arrays[f"x{suffix}"] = lists(*_RANDOM.integers(1, 60, 300))
        arrays[f"y{suffix}"] = np.arange(300) % classes
    return npz(**arrays)


def _mnist(folder: Path) -> None:
    tables = SOURCES.parse("mnist").load(Context(Path(), 0))
    arrays = {f"{name}_{split}": tables[split].array(name)[:400] for split in ("train", "test") for name in "xy"}
    np.savez(folder / "mnist.npz", allow_pickle=False, **arrays)


def _houses(folder: Path) -> None:
    for split in ("train", "test"):
        (folder / "facades" / split).mkdir(parents=True)
        for number in range(4):
            pixels = _RANDOM.integers(0, 256, (16, 32, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "facades" / split / f"{number}.jpg")


def _pictures(folder: Path) -> None:
    for name in ("train", "train_masks"):
        (folder / name).mkdir()
    for number in range(40):
        pixels = _RANDOM.integers(0, 256, (32, 48, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "train" / f"car_{number}.jpg")
        Image.fromarray(np.where(pixels[..., 0] > 99, 255, 0).astype(np.uint8)).save(
            folder / "train_masks" / f"car_{number}_mask.gif"
        )


def _sentence() -> str:
    return " ".join(_RANDOM.choice(_WORDS, _RANDOM.integers(2, 8)))


def _table(path: Path, header: str, row: Callable[[int], str], rows: int = 320) -> None:
    lines = [header, *(row(number) for number in range(rows))]
    path.write_text("".join(line + "\n" for line in lines if line), encoding="utf-8")


def _questions(folder: Path) -> None:
    header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate"
    _table(
        folder / "quora_duplicate_questions.tsv", header,
        lambda row: f'"{row}"\t"{2 * row}"\t"{2 * row + 1}"\t"{_sentence()}?"\t"{_sentence()}?"\t"{row % 2}"',
    )  # fmt: skip


def _reviews(folder: Path) -> None:
    header = "\turlDrugName\trating\teffectiveness\tsideEffects\tcondition\tbenefitsReview\tsideEffectsReview"
    _table(
        folder / "drugLibTrain_raw.tsv", header,
        lambda row: f"{row}\tdrug\t{1 + row % 10}\tHighly\tMild\tpain\t{_sentence()}.\tnone",
    )  # fmt: skip


def _sentences(folder: Path) -> None:
    for name in ("fra", "nld"):
        _table(folder / f"{name}.txt", "", lambda row: f'"{_sentence()}" {_sentence()}.\t{_sentence()} !\tCC-BY #{row}')


def _captions(folder: Path) -> None:
    (folder / "captions").mkdir()
    np.save(folder / "captions/features.npy", _RANDOM.random((60, 64, 2048), np.float32))
    np.save(folder / "captions/caption.npy", np.array([f"A {_sentence()}." for _ in range(60)]))


def _films(folder: Path) -> None:
    for split in ("train", "test"):
        for label in ("neg", "pos"):
            where = folder / "aclImdb" / split / label
            where.mkdir(parents=True)
            for number in range(40):
                (where / f"{number}_7.txt").write_text(_sentence(), encoding="utf-8")
    vectors = (f"{word} " + " ".join(f"{value:.4f}" for value in _RANDOM.normal(size=300)) for word in _WORDS)
    (folder / "glove.6B.300d.txt").write_text("".join(line + "\n" for line in vectors), encoding="utf-8")
