"""Images of every color mode: 16 bits a channel, transparency, masks of integers, sizes that take too much memory."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from kerascli.data.base import SOURCES, Context
from kerascli.data.pipeline.prepare import load_data
from kerascli.data.section import parse_data
from kerascli.data.storage import on_disk
from kerascli.data.storage.decoded_files import DecodedFiles
from kerascli.data.storage.image_files import Reading
from kerascli.foundation.errors import DataError
from kerascli.language.component import Invalid
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from tests.data.test_sources import load
from tests.support.data_harness import whole
from tests.support.runs_harness import train, write

DEEP = np.array([0, 1, 128, 255, 256, 300, 32768, 65279, 65280, 65535, 4660, 43981], np.uint16).reshape(3, 4)


def png(path: Path, pixels: np.ndarray, transparency: bytes = b"", size: tuple[int, int] | None = None) -> Path:
    """Write a PNG of 8 or 16 bits a channel, with 1 to 4 channels, as the specification has it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, channels = pixels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(pixels.dtype.newbyteorder(">")).tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", *(size or (width, height)), 8 * pixels.itemsize, kind, 0, 0, 0)
    parts = [chunk(b"IHDR", header)]
    parts += [chunk(b"tRNS", transparency)] if transparency else []
    parts += [chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


def reading(color_mode: str, background: tuple[int, int, int] | None = None) -> Reading:
    return Reading((3, 4), color_mode, "nearest", crop=False, background=background)


@pytest.mark.parametrize("color_mode", ["grayscale", "rgb", "rgba"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_of_16_bits_are_those_of_their_high_bytes(channels: int, color_mode: str, tmp_path: Path) -> None:
    """As tf.io.decode_png, of Keras's image_dataset_from_directory, has them."""
    pixels = np.stack([np.roll(DEEP, shift) for shift in range(channels)], -1)
    deep, plain = png(tmp_path / "deep.png", pixels), png(tmp_path / "plain.png", (pixels >> 8).astype(np.uint8))
    found = reading(color_mode).decode(deep)
    np.testing.assert_array_equal(found, reading(color_mode).decode(plain))
    expected = keras.utils.img_to_array(keras.utils.load_img(plain, color_mode=color_mode))
    np.testing.assert_array_equal(found, expected)


TRANSPARENT = {
    "RGBA": (np.array([[[200, 100, 0, 0], [200, 100, 0, 51], [200, 100, 0, 255]]], np.uint8), b""),
    "LA": (np.array([[[200, 0], [200, 51], [200, 255]]], np.uint8), b""),
    "RGB with a transparent color": (np.array([[[9, 8, 7], [1, 2, 3], [9, 8, 6]]], np.uint8), b"\0\t\0\b\0\a"),
    "16 bits with a transparent value": (np.array([[[300], [301], [299]]], np.uint16), (300).to_bytes(2, "big")),
}  # fmt: skip


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_transparent_pixels_have_the_color_of_the_background(kind: str, tmp_path: Path) -> None:
    pixels, transparency = TRANSPARENT[kind]
    path = png(tmp_path / "t.png", pixels, transparency)
    plain = Reading((1, 3), "rgb", "nearest", crop=False)
    colors = plain.decode(path)
    if pixels.dtype == np.uint8:
        np.testing.assert_array_equal(colors, keras.utils.img_to_array(keras.utils.load_img(path)))
    ground = (10, 250, 90)
    found = Reading((1, 3), "rgb", "nearest", crop=False, background=ground).decode(path)
    share = np.array([0, 0.2, 1] if not transparency else [0, 1, 1])[None, :, None]
    assert np.abs(found - (share * colors + (1 - share) * np.array(ground))).max() <= 1
    grey = Reading((1, 3), "grayscale", "nearest", crop=False, background=ground).decode(path)
    assert abs(int(grey[0, 0, 0]) - (0.299 * 10 + 0.587 * 250 + 0.114 * 90)) <= 1


def test_a_palette_with_transparent_entries_has_the_background_and_no_warning(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1, 2, 2]], np.uint8), mode="P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.save(tmp_path / "p.png", transparency=bytes([0, 255, 128]))
    (tmp_path / "d/a").mkdir(parents=True)
    (tmp_path / "p.png").rename(tmp_path / "d/a/p.png")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        source = {"directory": "d", "image_size": [1, 4], "labels": None}
        plain, white = (
            load({"image_folder": {**source, **more}}, tmp_path)["train"].array("image")[0, 0]
            for more in ({}, {"background": "white"})
        )
    assert caught == []
    assert plain.tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 255]]
    assert white.tolist() == [[255, 255, 255], [0, 255, 0], [127, 127, 255], [127, 127, 255]]


def pairs(folder: Path, masks: list[np.ndarray]) -> dict[str, Any]:
    for number, mask in enumerate(masks):
        png(folder / f"i/{number}.png", np.zeros((3, 4, 3), np.uint8))
        png(folder / f"m/{number}.png", mask[..., None])
    return {"image_pairs": {"images": "i", "masks": "m", "image_size": [6, 8]}}


@pytest.mark.parametrize("memory", [2**30, 100])
def test_masks_of_16_bits_keep_their_integers(memory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_disk, "MEMORY_BYTES", memory)
    small = np.arange(12, dtype=np.uint8).reshape(3, 4)
    tables = SOURCES.parse(pairs(tmp_path, [DEEP, small])).load(Context(tmp_path, 0))
    found = tables["train"].array("mask")
    assert found.dtype == np.uint16
    expected = np.stack([DEEP, small.astype(np.uint16)]).repeat(2, 1).repeat(2, 2)[..., None]
    np.testing.assert_array_equal(found, expected)


def test_a_model_learns_the_labels_of_masks_of_16_bits(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 255, 300]] * 3, np.uint16)
    source = pairs(tmp_path, [labels, labels[:, ::-1].copy()])
    spec = parse_data({"source": source, "inputs": {"image": []}, "targets": {"mask": []}})
    data = load_data(spec, Context(tmp_path, 0))
    assert sorted(set(whole(data.splits["train"]).targets["mask"].ravel().tolist())) == [0, 1, 255, 300]
    text = f"""
data: {{source: {source}, inputs: {{image: [{{rescaling: $(1/255)}}]}}, targets: {{mask: []}}}}
model: {{layers: [{{conv_2d: {{filters: 301, kernel_size: 1, activation: softmax}}}}]}}
compile: {{loss: sparse_categorical_crossentropy, optimizer: sgd}}
fit: {{epochs: 1}}
"""
    record, _ = train(write(tmp_path, text), tmp_path / "runs")
    assert "loss" in record.history()[0]


@pytest.mark.parametrize(
    ("palette", "expected"),
    [([0, 0, 0, 128, 0, 0, 0, 128, 0], [0, 1, 2]), ([0, 0, 0, 128, 128, 128, 255, 255, 255], [0, 128, 255])],
    ids=["colors", "greys"],
)
def test_a_mask_with_a_palette_of_colors_has_its_indices(
    palette: list[int], expected: list[int], tmp_path: Path
) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), mode="P")
    image.putpalette(palette)
    image.save(tmp_path / "m.png")
    found = Reading((1, 3), "labels", "nearest", crop=False).decode(tmp_path / "m.png")
    assert found.ravel().tolist() == expected
    assert found.dtype == np.uint8


def test_a_mask_of_16_bits_with_several_channels_is_refused_by_name(tmp_path: Path) -> None:
    path = png(tmp_path / "m.png", np.stack([DEEP, DEEP], -1))
    with pytest.raises(DataError, match="a mask with colors or transparency of 16 bits") as caught:
        reading("labels").decode(path)
    assert str(caught.value.faults[0].place) == str(path)


@pytest.mark.parametrize("size", [(1, 60_000_000), (65_536, 1), (9000, 9000)], ids=str)
def test_an_image_that_would_take_too_much_memory_is_refused_by_its_header(
    size: tuple[int, int], tmp_path: Path
) -> None:
    path = png(tmp_path / "big.png", np.zeros((1, 1, 3), np.uint8), size=size)
    with pytest.raises(
        DataError, match=f"^{size[0]:,} x {size[1]:,} pixels; the limit here is 67,108,864, and 65,535 a"
    ):
        DecodedFiles([path], reading("rgb")).read_once()


def test_a_background_that_cannot_be_is_refused() -> None:
    for settings, text in (
        ({"background": "white", "color_mode": "rgba"}, "rgba keeps transparency"),
        ({"background": [256, 0, 0]}, "background"),
        ({"background": "blue-ish"}, "background"),
    ):
        with pytest.raises(Invalid, match=text):
            SOURCES.parse({"image_folder": {"directory": "d", **settings}})


def test_a_run_predicts_a_file_on_the_background_of_its_training(tmp_path: Path) -> None:
    clear = np.full((4, 4, 4), 255, np.uint8)
    clear[..., 3] = 0
    png(tmp_path / "d/a/0.png", clear)
    png(tmp_path / "d/b/1.png", clear[..., :3] // 2)
    text = """
data:
  source: {image_folder: {directory: d, image_size: [4, 4], background: [0, 40, 0]}}
  inputs: {image: [{rescaling: $(1/255)}]}
  targets: {label: []}
model: {layers: [flatten, {dense: {units: 2, activation: softmax}}]}
compile: {loss: sparse_categorical_crossentropy, optimizer: sgd}
fit: {epochs: 1}
"""
    run = open_run(train(write(tmp_path, text), tmp_path / "runs")[0])
    green = png(tmp_path / "green.png", np.broadcast_to(np.array([0, 40, 0], np.uint8), (4, 4, 3)))
    for name in ("d/a/0.png", "d/b/1.png"):
        same = predict_run(run, str(tmp_path / name)).outputs["dense"]
        assert (same == predict_run(run, str(green)).outputs["dense"]).all() == (name == "d/a/0.png")
