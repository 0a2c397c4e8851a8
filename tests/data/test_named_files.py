"""Files named in tables: pictures beside numbers, with the place of a name in errors about its file."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kerascli.config.load import open_config
from kerascli.data.base import Context
from kerascli.data.pipeline.prepare import PreparedData, data_facts, load_data
from kerascli.data.section import parse_data
from kerascli.data.storage import on_disk
from kerascli.data.storage.image_files import Reading
from kerascli.foundation.errors import DataError, KerasCliError
from kerascli.language.component import Invalid
from kerascli.runs.record import RunRecord
from kerascli.workflow.check import check
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from kerascli.workflow.rows.command_rows import rows_of
from tests.support.needs import library
from tests.support.runs_harness import go_on, outcome, train, write

ROWS = 24
CONFIG = """
seed: 3
data:
  source:
    csv: {path: t.csv, files: {photo: {image: {directory: img, size: 4, on_corrupt: skip}}}}
  split: {validation: 0.25, test: 0.25, seed: 1}
  inputs:
    photo: [{rescaling: $(1/255)}, {random_flip: horizontal}]
    size: [normalization]
  targets:
    kind: [string_lookup]
    light: []
model:
  layers:
    - {flatten: {inputs: photo, name: pixels}}
    - {reshape: {target_shape: [1], inputs: size, name: number}}
    - {concatenate: {inputs: [pixels, number], name: all}}
    - {dense: {units: 2, activation: softmax, inputs: all, name: kind}}
    - {dense: {units: 1, inputs: all, name: light}}
  outputs: [kind, light]
compile:
  loss: {kind: sparse_categorical_crossentropy, light: mse}
  optimizer: adam
fit: {epochs: 3, batch_size: 5, validation_data: validation}
"""


def folder(path: Path, rows: int = ROWS) -> Path:
    """A table of pictures, some of which are in a subfolder, beside numbers and words."""
    draws = np.random.default_rng(0)
    (path / "img" / "more").mkdir(parents=True, exist_ok=True)
    lines = ["photo,size,kind,light,part"]
    for row in range(rows):
        name = f"more/{row}.png" if row % 3 == 0 else f"{row}.png"
        pixels = draws.integers(0, 255, (6, 5, 3), np.uint8)
        Image.fromarray(pixels).save(path / "img" / name)
        lines.append(f"{name},{draws.normal():.3f},{'ab'[row % 2]},{pixels.mean() / 255:.4f},{row % 4}")
    (path / "t.csv").write_text("\n".join(lines) + "\n")
    return path


def source(**settings: Any) -> dict[str, Any]:
    return {"csv": {"path": "t.csv", "files": {"photo": {"image": {"directory": "img", "size": 4, **settings}}}}}


def load(path: Path, of: Mapping[str, Any] | None = None, **data: Any) -> PreparedData:
    section = {"source": of or source(), "inputs": {"photo": []}, "targets": {"light": []}, **data}
    return load_data(parse_data(section), Context(path, 0))


def photos(prepared: PreparedData, split: str = "train") -> np.ndarray:
    return prepared.splits[split].read(slice(None)).inputs["photo"]


def names(path: Path) -> list[str]:
    return [line.split(",")[0] for line in (path / "t.csv").read_text().splitlines()[1:]]


def expected(path: Path, reading: Reading) -> np.ndarray:
    return np.stack([reading.decode(path / "img" / name) for name in names(path)])


@pytest.mark.parametrize("memory", [2**30, 100])
def test_a_column_of_names_becomes_pictures(memory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_disk, "MEMORY_BYTES", memory)
    prepared = load(folder(tmp_path))
    assert prepared.facts.inputs["photo"].shape == (4, 4, 3)
    reading = Reading((4, 4), "rgb", "bilinear", crop=False)
    np.testing.assert_array_equal(photos(prepared), expected(tmp_path, reading))
    assert set(prepared.digests) == {"t.csv", "photo"}


def test_the_settings_of_image_folder_are_those_of_pictures_in_tables(tmp_path: Path) -> None:
    settings = {"color_mode": "grayscale", "interpolation": "nearest", "crop_to_aspect_ratio": True, "background": 9}
    prepared = load(folder(tmp_path), source(size=[3, 2], **settings))
    reading = Reading((3, 2), "grayscale", "nearest", crop=True, background=(9, 9, 9))
    np.testing.assert_array_equal(photos(prepared), expected(tmp_path, reading))


def test_every_kind_of_table_may_name_files(tmp_path: Path) -> None:
    want = photos(load(folder(tmp_path)))
    pyarrow, parquet = library("pyarrow.csv"), library("pyarrow.parquet")
    table = pyarrow.read_csv(tmp_path / "t.csv")
    parquet.write_table(table, tmp_path / "t.parquet")
    (tmp_path / "t.tsv").write_text((tmp_path / "t.csv").read_text().replace(",", "\t"))
    lines = "".join(f'{{"photo": "{row["photo"]}", "light": {row["light"]}}}\n' for row in table.to_pylist())
    (tmp_path / "t.jsonl").write_text(lines)
    for kind, file in (("tsv", "t.tsv"), ("json_lines", "t.jsonl"), ("parquet", "t.parquet")):
        of = {kind: {**source()["csv"], "path": file}}
        np.testing.assert_array_equal(photos(load(tmp_path, of)), want, err_msg=kind)


def test_a_parquet_table_that_stays_on_disk_may_name_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    want = photos(load(folder(tmp_path)))
    table = library("pyarrow.csv").read_csv(tmp_path / "t.csv")
    library("pyarrow.parquet").write_table(table, tmp_path / "t.parquet", row_group_size=5)
    monkeypatch.setattr(on_disk, "MEMORY_BYTES", 10)
    of = {"parquet": {**source()["csv"], "path": "t.parquet"}}
    prepared = load(tmp_path, of)
    np.testing.assert_array_equal(photos(prepared), want)
    assert prepared.splits["train"].read(slice(2, 4)).targets["light"].shape == (2,)


def test_rows_are_filtered_and_split_before_files_are_opened(tmp_path: Path) -> None:
    folder(tmp_path)
    for row in range(0, ROWS, 4):
        (tmp_path / "img" / names(tmp_path)[row]).unlink()
    prepared = load(tmp_path, where={"part": [1, 2, 3]}, split={"test": 0.5, "seed": 1, "group": "photo"})
    assert {name: split.rows for name, split in prepared.splits.items()} == {"train": 9, "test": 9}
    kept = [name for row, name in enumerate(names(tmp_path)) if row % 4]
    assert sorted(prepared.tables["train"].text("photo").tolist() + prepared.tables["test"].text("photo").tolist()) == (
        sorted(kept)
    )


def test_a_damaged_or_missing_file_has_the_place_of_its_name(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "img" / "1.png").unlink()
    (tmp_path / "img" / "2.png").write_bytes(b"junk")
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    missing, damaged, number = list(caught.value.faults)
    assert f"{missing.place}: {missing.text}" == f"t.csv:3:photo: no such file '1.png' in '{tmp_path / 'img'}'"
    assert f"{damaged.place}: {damaged.text}" == (
        "t.csv:4:photo: '2.png': not an image of a supported format (bmp, gif, jpeg, png)"
    )
    assert number.text == f"2 of {ROWS} files cannot be read"
    assert "on_corrupt: skip" in str(number.hint)
    prepared = load(tmp_path, source(on_corrupt="skip"))
    assert prepared.splits["train"].rows == ROWS - 2
    (warning,) = prepared.warnings
    assert warning == f"t.csv: 2 of {ROWS} files skipped (on_corrupt: skip): t.csv:3:photo, t.csv:4:photo"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "missing value: the row names no file"),
        ("../secret.png", "leads out of the directory"),
        ("more/../../secret.png", "leads out of the directory"),
        ("/etc/passwd", "leads out of the directory"),
        ("more\\\\0.png", "is a path of Windows"),
        ("C:/0.png", "is a path of Windows"),
        ("link.png", "is a symbolic link that leads out of the directory"),
        ("linked/secret.png", "is a symbolic link that leads out of the directory"),
        ("more", "is a folder"),
        ("pipe", "is a named pipe"),
        ("x" * 5000, "no such file"),
        ("img/1.png", "no such file"),
        ("loop", "no such file"),
        ("../t.csv\u202e", "leads out"),
    ],
)
def test_no_name_leads_out_of_the_directory(name: str, text: str, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    folder(inside)
    Image.new("RGB", (4, 4)).save(tmp_path / "secret.png")
    (inside / "img" / "link.png").symlink_to(tmp_path / "secret.png")
    (inside / "img" / "linked").symlink_to(tmp_path)
    (inside / "img" / "loop").symlink_to("loop")
    os.mkfifo(inside / "img" / "pipe")
    (inside / "t.jsonl").write_text(f'{{"photo": "1.png", "light": 1}}\n{{"photo": "{name}", "light": 1}}\n')
    with pytest.raises(DataError) as caught:
        load(inside, {"json_lines": {**source()["csv"], "path": "t.jsonl"}})
    fault = caught.value.faults[0]
    assert str(fault.place) == "t.jsonl:2:photo"
    assert text in fault.text
    skipping = {"json_lines": {**source(on_corrupt="skip")["csv"], "path": "t.jsonl"}}
    if text in ("missing value: the row names no file", "no such file"):
        assert load(inside, skipping).splits["train"].rows == 1
    else:
        with pytest.raises(DataError) as caught:
            load(inside, skipping)
        assert str(caught.value.faults[0].place) == "t.jsonl:2:photo"


def test_a_link_within_the_directory_and_a_directory_that_is_a_link_are_followed(tmp_path: Path) -> None:
    folder(tmp_path)
    want = photos(load(tmp_path))
    (tmp_path / "img" / "1.png").rename(tmp_path / "img" / "more" / "one.png")
    (tmp_path / "img" / "1.png").symlink_to("more/one.png")
    (tmp_path / "img").rename(tmp_path / "elsewhere")
    (tmp_path / "img").symlink_to("elsewhere")
    np.testing.assert_array_equal(photos(load(tmp_path)), want)


def test_names_without_extensions_take_a_suffix(tmp_path: Path) -> None:
    want = photos(load(folder(tmp_path)))
    (tmp_path / "t.csv").write_text((tmp_path / "t.csv").read_text().replace(".png", ""))
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    first, second = list(caught.value.faults)[:2]
    assert first.hint == f"'{tmp_path / 'img'}' has 'more/0.png': write suffix: .png"
    assert second.hint is None
    np.testing.assert_array_equal(photos(load(tmp_path, source(suffix=".png"))), want)


def test_names_are_beside_the_table_without_a_directory(tmp_path: Path) -> None:
    want = photos(load(folder(tmp_path)))
    (tmp_path / "t.csv").rename(tmp_path / "img" / "t.csv")
    of = {"csv": {"path": "img/t.csv", "files": {"photo": {"image": {"size": 4}}}}}
    np.testing.assert_array_equal(photos(load(tmp_path, of)), want)
    (tmp_path / "img" / "t.csv").rename(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text((tmp_path / "t.csv").read_text().replace("0.png", "img/0.png"))


@pytest.mark.parametrize(
    ("of", "text"),
    [
        (source(directory="imgs"), "imgs: there is no such folder; did you mean 'img'?"),
        ({"csv": {"path": "t.csv", "files": {"foto": "image"}}}, "there is no column 'foto'; did you mean 'photo'?"),
    ],
)
def test_a_folder_or_a_column_that_is_not_there_is_named(of: dict[str, Any], text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(folder(tmp_path), of)
    fault = caught.value.faults[0]
    assert text in f"{fault.place}: {fault.text}"


@pytest.mark.parametrize(
    ("reader", "text"),
    [
        ("imag", "there is no reader 'imag'; did you mean 'image'?"),
        ({"image": {"sise": 4}}, "did you mean 'size'?"),
        ({"image": {"on_corrupt": "ignore"}}, "on_corrupt"),
        ({"image": {"color_mode": "rgba", "background": "white"}}, "color_mode rgba keeps transparency"),
        ({"conv_2d": 3}, "conv_2d is a layer"),
    ],
)
def test_a_misspelt_reader_is_named_at_its_place(reader: Any, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_data({"source": {"csv": {"path": "t.csv", "files": {"photo": reader}}}, "inputs": {"photo": []}})
    (fault,) = caught.value.faults
    assert text in f"{fault.text} {fault.hint}"
    assert fault.path[:5] == ("data", "source", "csv", "files", "photo")


def test_the_shape_of_pictures_is_known_before_the_table_is_read(tmp_path: Path) -> None:
    data = parse_data({"source": source(), "inputs": {"photo": [], "size": []}, "targets": {"light": []}})
    facts = data_facts(data, Context(tmp_path, 0), look=False)
    assert facts.inputs["photo"].shape == (4, 4, 3)
    assert not facts.known


def test_a_config_is_checked_without_decoding_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path)
    config = write(tmp_path, CONFIG.replace(", on_corrupt: skip", ""))
    monkeypatch.setattr(Reading, "decode", None)
    check(config, sets=[], flags=[])
    (tmp_path / "img" / "2.png").unlink()
    with pytest.raises(KerasCliError, match=r"no such file '2\.png'"):
        check(config, sets=[], flags=[])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    path = folder(tmp_path_factory.mktemp("named"))
    return train(write(path, CONFIG), path / "runs")[0]


def home(run: RunRecord) -> Path:
    return run.path.parent.parent


def test_new_tables_are_predicted_with_the_files_beside_them(run: RunRecord, tmp_path: Path) -> None:
    opened = open_run(run)
    whole = predict_run(opened, str(home(run) / "t.csv"), keep=["photo"])
    assert whole.kept["photo"].tolist() == names(home(run))
    (tmp_path / "new.csv").write_text("photo,size\nnew.png,1\n1.png,2\n")  # 1.png is in the directory of the config
    (tmp_path / "new.png").write_bytes((home(run) / "img" / "2.png").read_bytes())
    new = rows_of(opened, str(tmp_path / "new.csv"), targets=False).read(slice(None)).inputs["photo"]
    old = rows_of(opened, str(home(run) / "t.csv"), targets=False).read(slice(None)).inputs["photo"]
    np.testing.assert_array_equal(new, old[[2, 1]])
    both = predict_run(opened, [str(tmp_path / "new.csv"), str(home(run) / "t.csv")], keep=["photo"])
    assert both.kept["photo"].tolist() == ["new.png", "1.png", *names(home(run))]
    (tmp_path / "new.csv").write_text("photo,size\nx.png,1\n")
    with pytest.raises(DataError, match=r"no such file 'x\.png' in") as caught:
        predict_run(opened, str(tmp_path / "new.csv"))
    text = caught.value.faults[0].text
    assert f"'{tmp_path}' and in '{home(run) / 'img'}'" in text
    assert str(caught.value.faults[0].place) == f"{tmp_path / 'new.csv'}:2:photo"


def test_damaged_pictures_of_new_tables_are_skipped_where_the_config_says_so(run: RunRecord, tmp_path: Path) -> None:
    opened = open_run(run)
    (tmp_path / "new.csv").write_text("photo,size,kind,light\nx.png,1,a,0.5\n1.png,2,a,0.5\n")
    assert rows_of(opened, str(tmp_path / "new.csv"), targets=True).rows == 1
    (warning,) = opened.warnings
    assert f"1 of 2 files skipped (on_corrupt: skip): {tmp_path / 'new.csv'}:2:photo" in warning.text


def test_a_run_whose_pictures_changed_is_told_so(run: RunRecord, tmp_path: Path) -> None:
    config = folder(tmp_path)
    record = train(write(config, CONFIG), config / "runs")[0]
    assert set(record.facts()["data"]) == {"t.csv", "photo"}
    assert record.facts()["data"] == run.facts()["data"]
    Image.new("RGB", (5, 6)).save(config / "img" / "1.png")
    opened = open_run(record)
    rows_of(opened, "train", targets=True)
    assert [fault.text for fault in opened.warnings if "the SHA-256 of 'photo'" in fault.text]


def test_a_run_is_read_with_its_pictures_elsewhere(run: RunRecord, tmp_path: Path) -> None:
    folder(tmp_path)
    moved = open_run(run, data=tmp_path)
    assert moved.data is not None
    assert [path.resolve() for path in moved.data.source.folders(moved.config.context)] == [tmp_path / "img"]
    assert rows_of(moved, "test", targets=True).rows == rows_of(open_run(run), "test", targets=True).rows


def test_a_directory_is_relative_to_the_config_that_names_it(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "base").mkdir()
    base = CONFIG.replace("t.csv", "../t.csv").replace("directory: img", "directory: ../img")
    write(tmp_path / "base", base)
    child = tmp_path / "child.yaml"
    child.write_text("extends: base/config.yaml\ndata: {source: {csv: {path: t.csv}}}\n")
    config = open_config(child)
    assert config.data is not None
    assert [path.resolve() for path in config.data.source.folders(config.context)] == [tmp_path / "img"]


@pytest.mark.parametrize("memory", [2**30, 100])
def test_training_goes_on_with_the_same_bits(
    memory: int, run: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_disk, "MEMORY_BYTES", memory)
    config = write(folder(tmp_path), CONFIG)
    short, _ = train(config, tmp_path / "short", ["fit.epochs=1"])
    go_on(short, ["fit.epochs=3"])
    assert outcome(short) == outcome(run)


def test_pictures_may_be_weighed_and_targets(tmp_path: Path) -> None:
    data = {"targets": {"light": [], "picture": [{"columns": "photo"}, {"rescaling": 1 / 255}]}}
    prepared = load(folder(tmp_path), **data, sample_weight={"light": [{"columns": "part"}]})
    rows = prepared.splits["train"].read(slice(None))
    assert rows.sample_weight["light"].tolist() == [row % 4 for row in range(ROWS)]
    np.testing.assert_array_equal(rows.targets["picture"], rows.inputs["photo"])


def test_pairs_of_pictures_in_a_table(tmp_path: Path) -> None:
    data = {"source": {"pairs": {"source": source(), "label": "kind"}}, "inputs": {"photo": [], "photo_other": []}}
    prepared = load_data(parse_data({**data, "targets": {"same": []}}), Context(folder(tmp_path), 0))
    np.testing.assert_array_equal(photos(prepared)[::2], photos(load(tmp_path)))
    assert "photo_other" in prepared.splits["train"].read(slice(0, 1)).inputs


def test_a_model_of_pictures_alone_predicts_picture_files(tmp_path: Path) -> None:
    text = CONFIG.replace("    size: [normalization]\n", "").replace("size: 4,", "size: 4, crop_to_aspect_ratio: true,")
    text = text.replace("    - {reshape: {target_shape: [1], inputs: size, name: number}}\n", "")
    text = text.replace("    - {concatenate: {inputs: [pixels, number], name: all}}\n", "")
    text = text.replace("inputs: all", "inputs: pixels")
    folder(tmp_path)
    opened = open_run(train(write(tmp_path, text), tmp_path / "runs")[0])
    files = [str(tmp_path / "img" / name) for name in names(tmp_path)]
    rows = rows_of(opened, *files, targets=False).read(slice(None)).inputs["photo"]
    table = rows_of(opened, str(tmp_path / "t.csv"), targets=False).read(slice(None)).inputs["photo"]
    np.testing.assert_array_equal(rows, table)


def test_a_file_that_vanishes_during_training_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_disk, "MEMORY_BYTES", 100)
    prepared = load(folder(tmp_path))
    (tmp_path / "img" / "5.png").unlink()
    with pytest.raises(DataError, match=r"no such file '5\.png'") as caught:
        photos(prepared)
    assert str(caught.value.faults[0].place) == "t.csv:7:photo"
