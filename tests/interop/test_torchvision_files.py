"""Files of published weights: which are refused unopened, what is rejected in others, and how they are downloaded."""

import hashlib
import io
import os
import pickle
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from kerascli.config.sections.init_from import parse_init_from
from kerascli.foundation.errors import DataError, FileRefused
from kerascli.interop import published
from kerascli.interop.published import published_tensors
from kerascli.interop.torchvision_names import to_our_names
from tests.support.needs import library
from tests.support.runs_harness import train, write
from tests.support.server import Server
from tests.support.torch_networks import publish, saved

SMALL = """
data: {source: {blobs: {rows: 64, features: 4, classes: 3}}, inputs: {x: []}, targets: {y: []}}
model:
  init_from: {torchvision: vgg11-8a719046.pth}
  layers: [{dense: 3}]
compile: {loss: sparse_categorical_crossentropy}
"""


class Harm:
    """Object whose pickle creates a folder when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, (str(self.path),)


def read(file: Path) -> dict[str, Tensor]:
    return published_tensors(file.name)[0]


SOUND = {"features.0.weight": torch.ones(4, 3, 3, 3)}


def test_a_file_of_another_checksum_is_never_opened(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touched(*_: object, **__: object) -> None:
        raise AssertionError("somebody looked into it")

    file = publish("vgg11", saved(SOUND), home, monkeypatch)
    harm = saved({"a": Harm(tmp_path / "harm")})
    file.write_bytes(harm)
    for place, name in ((torch, "load"), (zipfile, "ZipFile"), (pickle, "loads"), (pickle, "Unpickler")):
        monkeypatch.setattr(place, name, touched)
    with pytest.raises(FileRefused) as caught:
        read(file)
    [fault] = caught.value.faults
    begins = f"its SHA-256 begins with {hashlib.sha256(harm).hexdigest()[:8]}, not with {file.stem[-8:]} as in its name"
    assert fault.text == f"'{file}' is not the published file: {begins}"
    assert fault.hint == "remove the file: it is then downloaded again"
    assert file.read_bytes() == harm
    assert not (tmp_path / "harm").exists()


def repacked(data: bytes) -> bytes:
    """Return the same archive, compressed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
    return buffer.getvalue()


def inflated(count: int) -> bytes:
    """Return a file in torch's former format that declares `count` numbers but has 12,345."""
    data = saved({"a": torch.ones(12_345)}, zipped=False)
    old = pickle.dumps(12_345, 2)[2:-1]
    assert data.count(old) == 2
    return data.replace(old, pickle.dumps(count, 2)[2:-1])


def in_a_tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("storages"))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda harm: saved({"a": harm}), "is damaged, or contains more than tensors"),
        (lambda harm: saved({"a": harm}, zipped=False), "is damaged, or contains more than tensors"),
        (lambda harm: saved(harm), "is damaged, or contains more than tensors"),
        (lambda harm: pickle.dumps(harm), "is not a file of torch"),
        (lambda harm: saved(nn.Linear(2, 2)), "is damaged, or contains more than tensors"),
        (lambda harm: saved([torch.ones(2)]), "is not a dictionary of tensors by name"),
        (lambda harm: saved({1: torch.ones(2)}), "is not a dictionary of tensors by name"),
        (lambda harm: saved({"a": {"b": torch.ones(2)}}), "'a' in "),
        (lambda harm: saved({"epoch": 5, **SOUND}), "'epoch' in "),
        (lambda harm: saved({"a": torch.eye(3).to_sparse()}), "is not a dense tensor of real numbers"),
        (lambda harm: saved({"a": torch.ones(3, dtype=torch.complex64)}), "is not a dense tensor of real numbers"),
        (lambda harm: saved({"a": torch.ones(3, device="meta")}), "is not a dense tensor of real numbers"),
        (lambda harm: saved({"a": torch.ones(1).expand(2**20, 2**20)}), "declares 4,398,046,511,104 bytes of tensors"),
        (
            lambda harm: saved({"a": torch.ones(1).expand(2**20, 2**20)}, zipped=False),
            "declares 4,398,046,511,104 bytes",
        ),
        (lambda harm: inflated(2**44), "is damaged, or contains more than tensors"),
        (lambda harm: inflated(12_346), "is damaged, or contains more than tensors"),
        (lambda harm: repacked(saved({"a": torch.zeros(10**6)})), "is compressed in a way that torch does not use"),
        (lambda harm: saved(SOUND)[:-100], "is damaged"),
        (lambda harm: saved(SOUND, zipped=False)[:-100], "is damaged"),
        (lambda harm: saved(SOUND)[:40], "is damaged"),
        (lambda harm: in_a_tar(), "is not a file of torch"),
        (lambda harm: b"", "is not a file of torch"),
        (lambda harm: b"<html>Sign in to this network</html>", "is not a file of torch"),
    ],
)
def test_of_a_right_checksum_only_tensors_come_in(
    make: Callable[[Harm], bytes], said: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight digits of a checksum can be forged, so the contents are not trusted either."""
    data = make(Harm(tmp_path / "harm"))
    file = publish("vgg11", data, home, monkeypatch)
    with pytest.raises(FileRefused) as caught:
        read(file)
    [fault] = caught.value.faults
    assert said in fault.text
    assert str(file) in fault.text
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("a\x1b[2J.weight", "has a tensor 'a\\x1b[2J.weight', which is not a valid name of a weight"),
        ("a.0.weight", "has two tensors for 'a_0/kernel'"),
    ],
)
def test_names_that_are_none_are_refused(key: str, said: str) -> None:
    with pytest.raises(FileRefused, match=re.escape(said)):
        to_our_names({"a_0.weight": torch.ones(2, 2), key: torch.ones(2, 2)}, [], {}, "a file")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.symlink_to("/dev/zero"), "is a device, not a file"),
        (os.mkfifo, "is a named pipe, not a file"),
        (lambda path: path.mkdir(), "is a folder, not a file"),
    ],
)
def test_what_is_no_file_is_not_read(
    make: Callable[[Path], object], said: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = publish("vgg11", saved(SOUND), home, monkeypatch)
    file.unlink()
    make(file)
    with pytest.raises(DataError, match=said):
        read(file)


def test_a_link_to_the_file_will_do(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = publish("vgg11", saved(SOUND), home, monkeypatch)
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    torch.testing.assert_close(read(file), SOUND)


def test_a_file_of_ones_own_does_not_come_in(tmp_path: Path) -> None:
    (tmp_path / "mine.pth").write_bytes(saved(SOUND))
    text = SMALL.replace("{torchvision: vgg11-8a719046.pth}", "{file: mine.pth}")
    with pytest.raises(
        FileRefused, match=r"mine.pth' is a pickle file by its suffix, and pickles are never read"
    ) as caught:
        train(write(tmp_path, text), tmp_path / "runs")
    assert caught.value.faults[0].place is not None


def test_a_file_is_downloaded_once_to_where_torch_looks(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = publish("vgg11", data := saved(SOUND), tmp_path, monkeypatch)
    file.unlink()
    file.symlink_to(tmp_path / "nowhere")
    server.files[file.name] = data
    seen: list[tuple[str, int, int]] = []
    tensors, digest = published_tensors(file.name, lambda *told: seen.append(told))
    again, _ = published_tensors(file.name)
    torch.testing.assert_close(again, tensors)
    assert digest == hashlib.sha256(data).hexdigest()
    assert server.asked == [f"/{file.name}"]
    assert seen == [(file.name, len(data), len(data))]
    assert file.is_file()
    assert not file.is_symlink()
    assert not (tmp_path / "nowhere").exists()
    theirs = torch.hub.load_state_dict_from_url(
        f"{server.url}/{file.name}", progress=False, check_hash=True, weights_only=True
    )
    torch.testing.assert_close(theirs, tensors)


@pytest.mark.parametrize(
    ("cut", "served", "reason"),
    [
        (0, b"PK\3\4 another file", "its SHA-256 begins with ccc14d77, not with "),
        (9, saved(SOUND), "the connection ended after "),
        (0, None, "the server says 404 Not Found"),
    ],
)
def test_a_download_of_something_else_is_not_kept(
    cut: int, served: bytes | None, reason: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = publish("vgg11", saved(SOUND), tmp_path, monkeypatch)
    file.unlink()
    server.cut = cut
    if served is not None:
        server.files[file.name] = served
    with pytest.raises(DataError, match=re.escape(f"cannot download {server.url}/{file.name}: {reason}")):
        read(file)
    assert not list(file.parent.iterdir())


def test_without_a_network_the_way_out_is_reported(home: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        train(write(tmp_path, SMALL), tmp_path / "runs")
    [fault] = caught.value.faults
    assert fault.text.startswith("cannot download http://127.0.0.1:9/vgg11-8a719046.pth: ")
    assert fault.hint == f"or place the file at '{home}/hub/checkpoints/vgg11-8a719046.pth' by hand"
    assert fault.place is not None
    assert fault.place.line == 4


def test_the_names_of_torchvisions_files_are_taken() -> None:
    models = library("torchvision").models
    names = [weights.url.rpartition("/") for each in models.list_models() for weights in models.get_model_weights(each)]
    found = [name for at, _, name in names if at == "https://download.pytorch.org/models"]
    assert len(found) > 100
    for name in found:
        section = parse_init_from({"torchvision": name}, ())
        assert section is not None
        assert torch.hub.HASH_REGEX.search(name)[1] == published._checksum(name)  # type: ignore[index]
