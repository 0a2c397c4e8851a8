"""Damaged images: all of them are listed before training, or skipped with their number."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kerascli.cli.runs import print_facts
from kerascli.data.base import Context
from kerascli.data.pipeline.prepare import PreparedData, load_data
from kerascli.data.section import parse_data
from kerascli.data.storage import on_disk
from kerascli.foundation.errors import DataError
from tests.support.data_harness import whole
from tests.support.runs_harness import train, write


def folder(path: Path) -> Path:
    """Two classes of four images each, of which 'b/1.jpg' is cut off, 'a/2.png' is empty and 'b/3.jpg' is text."""
    draws = np.random.default_rng(0)
    for name in ("a", "b"):
        (path / "pets" / name).mkdir(parents=True)
        for number in range(4):
            suffix = "png" if number == 2 else "jpg"
            pixels = draws.integers(0, 255, (40, 50, 3), np.uint8)
            Image.fromarray(pixels).save(path / "pets" / name / f"{number}.{suffix}")
    cut = path / "pets/b/1.jpg"
    cut.write_bytes(cut.read_bytes()[:900])
    (path / "pets/a/2.png").write_bytes(b"")
    (path / "pets/b/3.jpg").write_bytes(b"<html>not found</html>")
    return path


def load(path: Path, **settings: Any) -> PreparedData:
    source = {"image_folder": {"directory": "pets", "image_size": [8, 8], **settings}}
    return load_data(
        parse_data({"source": source, "inputs": {"image": []}, "targets": {"label": []}}), Context(path, 0)
    )


@pytest.mark.parametrize("memory", [2**30, 100])
def test_every_damaged_image_is_listed(memory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_disk, "MEMORY_BYTES", memory)
    with pytest.raises(DataError) as caught:
        load(folder(tmp_path))
    *damaged, number = caught.value.faults
    assert [Path(str(fault.place)).relative_to(tmp_path / "pets").as_posix() for fault in damaged] == [
        "a/2.png", "b/1.jpg", "b/3.jpg",
    ]  # fmt: skip
    assert damaged[0].text == "the file is empty"
    assert damaged[1].text.startswith("damaged image: ")
    assert damaged[2].text.startswith("not an image of a supported format")
    assert number.text == "3 of 8 images cannot be read"
    assert "on_corrupt: skip" in str(number.hint)


@pytest.mark.parametrize("memory", [2**30, 100])
def test_skipped_images_leave_the_rows_of_the_others(
    memory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_disk, "MEMORY_BYTES", memory)
    data = load(folder(tmp_path), on_corrupt="skip")
    rows = whole(data.splits["train"])
    np.testing.assert_array_equal(rows.targets["label"], [0, 0, 0, 1, 1])
    kept = [tmp_path / "pets" / name for name in ("a/0.jpg", "a/1.jpg", "a/3.jpg", "b/0.jpg", "b/2.png")]
    for image, path in zip(rows.inputs["image"], kept, strict=True):
        expected = np.asarray(Image.open(path).resize((8, 8), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(image, expected)
    (warning,) = data.warnings
    assert warning.startswith("pets: 3 of 8 images skipped (on_corrupt: skip): ")
    assert all(name in warning for name in ("a/2.png", "b/1.jpg", "b/3.jpg"))
    (skipped,) = data.skipped
    assert (skipped.name, skipped.count, skipped.of) == ("pets", 3, 8)
    assert [Path(each).name for _, each in skipped.first] == ["2.png", "1.jpg", "3.jpg"]


def test_pairs_of_images_tell_of_those_that_were_skipped(tmp_path: Path) -> None:
    folder(tmp_path)
    images = {"image_folder": {"directory": "pets", "image_size": [8, 8], "on_corrupt": "skip"}}
    source = {"pairs": {"source": images, "label": "label"}}
    spec = parse_data({"source": source, "inputs": {"image": [], "image_other": []}, "targets": {"same": []}})
    data = load_data(spec, Context(tmp_path, 0))
    assert [(skipped.count, skipped.of) for skipped in data.skipped] == [(3, 8)]
    assert data.warnings[0].startswith("pets: 3 of 8 images skipped")


RUN = """
data:
  source: {image_folder: {directory: pets, image_size: [4, 4], on_corrupt: skip}}
  inputs: {image: [{rescaling: $(1/255)}]}
  targets: {label: []}
model: {layers: [flatten, {dense: {units: 2, activation: softmax}}]}
compile: {loss: sparse_categorical_crossentropy}
fit: {epochs: 1}
"""


def test_a_run_records_the_images_that_it_skips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record, _ = train(write(folder(tmp_path), RUN), tmp_path / "runs")
    (facts,) = record.facts()["skipped_images"].values()
    assert (facts["skipped"], facts["of"]) == (3, 8)
    assert [Path(each).name for each in facts["first"]] == ["2.png", "1.jpg", "3.jpg"]
    print_facts(record)
    assert "skipped: 3, of: 8" in " ".join(capsys.readouterr().out.split())


PHASES = """
  phases:
    - {}
    - {}
    - data: {source: {image_folder: {directory: pets, image_size: [4, 4], on_corrupt: skip, class_names: [b, a]}}}
    - data: {source: {image_folder: {directory: dogs/pets, image_size: [4, 4], on_corrupt: skip}}}
"""


def test_folders_of_the_same_name_and_phases_that_take_other_files_are_told_apart(tmp_path: Path) -> None:
    folder(tmp_path)
    folder(tmp_path / "dogs")
    (tmp_path / "dogs/pets/a/0.jpg").write_bytes(b"")
    record, _ = train(write(tmp_path, RUN.replace("fit: {epochs: 1}", "fit:\n  epochs: 1") + PHASES), tmp_path / "runs")
    found = record.facts()["skipped_images"]
    assert {name: each["skipped"] for name, each in found.items()} == {"pets": 3, "pets of phase 3": 3, "dogs/pets": 4}
    assert Path(found["pets"]["first"][0]).name == "2.png"
    assert Path(found["pets of phase 3"]["first"][0]).name == "1.jpg"


def test_a_folder_of_nothing_but_damage_is_an_error_also_with_skip(tmp_path: Path) -> None:
    for path in folder(tmp_path).rglob("*.*"):
        path.write_bytes(b"")
    with pytest.raises(DataError) as caught:
        load(tmp_path, on_corrupt="skip")
    assert caught.value.faults[-1].text == "8 of 8 images cannot be read"


def test_twenty_damaged_images_are_named_and_all_are_counted(tmp_path: Path) -> None:
    (tmp_path / "pets/a").mkdir(parents=True)
    for number in range(25):
        (tmp_path / f"pets/a/{number:02}.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert len(caught.value.faults) == 21
    assert caught.value.faults[-1].text == "25 of 25 images cannot be read"


def test_a_pair_goes_with_its_image_or_its_mask(tmp_path: Path) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.fromarray(np.full((8, 8, 3), 50 * number, np.uint8)).save(tmp_path / name / f"{number}.png")
    (tmp_path / "images/1.png").write_bytes(b"")
    (tmp_path / "masks/2.png").write_bytes(b"")
    source = {"image_pairs": {"images": "images", "masks": "masks", "image_size": [8, 8], "on_corrupt": "skip"}}
    spec = parse_data({"source": source, "inputs": {"image": []}, "targets": {"mask": []}})
    data = load_data(spec, Context(tmp_path, 0))
    rows = whole(data.splits["train"])
    np.testing.assert_array_equal(rows.inputs["image"][:, 0, 0, 0], [0, 150])
    np.testing.assert_array_equal(rows.targets["mask"][:, 0, 0, 0], [0, 150])
    assert "2 of 4 images skipped" in data.warnings[0]
