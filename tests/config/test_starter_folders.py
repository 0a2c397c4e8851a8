"""Folders, texts and series of `init --from`: what is decided, configs that are valid and train, and refusals."""

import datetime
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerascli.config.starter.draft import Draft
from kerascli.config.starter.folders import IMAGES
from kerascli.config.starter.start import start_from
from kerascli.data.sources.image_sources import SUFFIXES
from kerascli.foundation.errors import ConfigError, DataError
from kerascli.workflow.check import check
from kerascli.workflow.smoke import smoke
from tests.support.needs import library

WORDS = ["good", "bad", "film", "actor", "plot", "awful", "nice", "scene"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def draft(what: str, target: str | None = None, kind: str | None = None) -> Draft:
    """Return the draft for a path; its config is validated against the data."""
    found = start_from(Path(what), what, target, kind)
    Path("config.yaml").write_text(found.text("config.yaml"), encoding="utf-8")
    assert check(Path("config.yaml"), sets=[], flags=[]).lines[0] == "config.yaml: ok"
    return found


def source(found: Draft) -> dict[str, Any]:
    ((_, settings),) = found.sections["data"]["source"].items()
    return settings


def images(classes: dict[str, int], size: tuple[int, ...] = (12, 12)) -> None:
    image = library("PIL.Image")
    random = np.random.default_rng(0)
    for name, count in classes.items():
        Path(name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            image.fromarray(random.integers(0, 255, size).astype(np.uint8)).save(f"{name}/{number}.png")


def texts(classes: dict[str, int], words: int = 6) -> None:
    random = np.random.default_rng(0)
    for name, count in classes.items():
        Path(name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Path(f"{name}/{number}.txt").write_text(" ".join(random.choice(WORDS, words)), encoding="utf-8")


def series(header: str = "date,value", rows: int = 80, days: int = 1, start: str = "2024-01-01") -> None:
    first = datetime.date.fromisoformat(start)
    dates = [first + datetime.timedelta(days=days * row) for row in range(rows)]
    width = header.count(",")
    lines = [
        f"{date}," + ",".join([f"{10 + np.sin(row * 2 * np.pi / 7):.3f}"] * width) for row, date in enumerate(dates)
    ]
    Path("a.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")


def test_images_with_classes_are_classified() -> None:
    images({"data/a": 12, "data/b": 12, "data/c": 14})
    found = draft("data")
    assert source(found) == {"directory": "data", "color_mode": "grayscale", "image_size": [12, 12]}
    assert found.sections["data"]["split"] == {"validation": 0.15, "test": 0.15, "stratify": "label"}
    assert "random_flip" not in str(found.sections["data"]["inputs"])
    assert found.sections["compile"]["loss"] == "sparse_categorical_crossentropy"
    assert any(line.startswith("predict:") for line in smoke(Path("config.yaml"), flags=[]))


def test_images_that_cannot_be_read_are_skipped_and_named() -> None:
    images({"data/a": 12, "data/b": 12})
    Path("data/a/0.png").write_bytes(b"broken")
    found = draft("data")
    assert source(found)["on_corrupt"] == "skip"
    assert "images that cannot be read are skipped: data/a/0.png" in found.reasons()
    assert any(line.startswith("predict:") for line in smoke(Path("config.yaml"), flags=[]))


def test_folders_of_splits_are_used_and_the_positive_class_is_the_second() -> None:
    images({"data/train/spam": 10, "data/train/text": 12, "data/val/spam": 3, "data/val/text": 3}, (10, 14, 3))
    found = draft("data")
    assert source(found) == {
        "directory": "data/train", "validation": "data/val", "class_names": ["text", "spam"], "color_mode": "rgb",
        "image_size": [10, 14],
    }  # fmt: skip
    assert found.sections["data"]["split"] == {"test": 0.15, "stratify": "label"}
    assert "the positive class is 'spam', the second" in found.reasons()
    assert found.sections["data"]["inputs"]["image"][1] == {"random_flip": "horizontal"}


def test_images_of_different_sizes_are_resized_and_those_without_classes_restored() -> None:
    images({"data": 8}, (40, 30))
    images({"data/more": 0})
    Path("data/more").rmdir()
    image = library("PIL.Image")
    for number in range(4):
        image.fromarray(np.full((400, 500, 3), 7 * number, np.uint8)).save(f"data/large{number}.png")
    found = draft("data")
    assert source(found)["labels"] is None
    assert source(found)["color_mode"] == "grayscale"  # red, green and blue are the same
    assert source(found)["image_size"] == [40, 32]
    assert found.sections["data"]["targets"] == {"restored": [{"columns": "image"}, {"rescaling": "$(1/255)"}]}
    assert any("they are resized to 40x32" in said for said in found.reasons())


@pytest.mark.parametrize("kind", ["linear", "mlp", "cnn", "resnet"])
def test_each_model_of_the_ladder_fits_images(kind: str) -> None:
    images({"data/a": 10, "data/b": 10}, (16, 16, 3))
    draft("data", kind=kind)


def test_suffixes_are_those_of_the_source() -> None:
    assert IMAGES == SUFFIXES


def test_texts_in_folders_are_a_bag_of_words() -> None:
    texts({"data/neg": 12, "data/pos": 100})
    found = draft("data")
    (step,) = found.sections["data"]["inputs"]["text"]
    assert step["text_vectorization"]["output_mode"] == "tf_idf"
    assert found.sections["fit"]["class_weight"] == "balanced"
    assert "the positive class is 'neg', the second" in found.reasons()


@pytest.mark.parametrize("kind", ["linear", "mlp", "cnn", "lstm", "transformer"])
def test_each_model_of_the_ladder_fits_texts(kind: str) -> None:
    random = np.random.default_rng(0)
    lines = [f"{' '.join(random.choice(WORDS, 7))} {row},{'abc'[row % 3]}" for row in range(60)]
    Path("a.csv").write_text("\n".join(["review,label", *lines]) + "\n", encoding="utf-8")
    found = draft("a.csv", kind=kind)
    (step,) = found.sections["data"]["inputs"]["review"]
    assert (step["text_vectorization"].get("output_mode") == "tf_idf") is (kind in ("linear", "mlp"))


def test_many_short_texts_are_read_in_order() -> None:
    random = np.random.default_rng(0)
    lines = [f"{' '.join(random.choice(WORDS, 4))}{row},{'ab'[row % 2]}" for row in range(6200)]
    Path("a.csv").write_text("\n".join(["tweet,label", *lines]) + "\n", encoding="utf-8")
    found = start_from(Path("a.csv"), "a.csv")
    assert "conv_1d" in str(found.sections["model"])
    assert any("more than 1,500 texts a word" in said for said in found.reasons())


@pytest.mark.parametrize(
    ("days", "header", "length"), [(1, "date,value", 14), (7, "week,a,value", 14), (1, "date,x y", 14)]
)
def test_a_series_becomes_windows_split_by_time(days: int, header: str, length: int) -> None:
    series(header, days=days)
    found = draft("a.csv")
    assert source(found)["sequence_length"] == length
    assert found.sections["data"]["split"]["order"] == f"{header.split(',')[0]}_next"
    history, (target,) = found.sections["data"]["inputs"]["history"], found.sections["data"]["targets"].values()
    assert history[1:] == [{"impute": "median"}, *target[-1:]]  # scaled alike
    assert ("context" in found.sections["data"]["inputs"]) is (header.count(",") == 2)


@pytest.mark.parametrize("kind", ["linear", "mlp", "lstm"])
def test_each_model_of_the_ladder_fits_a_series(kind: str) -> None:
    series("date,a,b")
    draft("a.csv", target="a", kind=kind)


def test_a_series_trains_one_epoch() -> None:
    series()
    draft("a.csv")
    assert any(line.startswith("predict:") for line in smoke(Path("config.yaml"), flags=[]))


def test_growth_by_a_factor_is_learned_as_a_logarithm_and_a_year_is_a_time() -> None:
    lines = [f"{1900 + row},{100 * 1.02**row * (1 + row % 2 / 10):.2f}" for row in range(80)]
    Path("a.csv").write_text("\n".join(["year,people", *lines]) + "\n", encoding="utf-8")
    found = draft("a.csv")
    assert found.sections["data"]["targets"]["people_next"][0] == "log"
    assert found.sections["data"]["split"]["order"] == "year_next"


def test_a_dated_table_with_words_or_uneven_dates_is_no_series() -> None:
    series("date,a,b")
    text = Path("a.csv").read_text(encoding="utf-8").splitlines()
    Path("b.csv").write_text(
        "\n".join(line + (",w" if row == 0 else f",{'uv'[row % 2]}") for row, line in enumerate(text)) + "\n"
    )
    assert "timeseries" not in str(draft("b.csv", target="b").sections["data"]["source"])
    Path("c.csv").write_text(
        "\n".join([text[0], *(line for row, line in enumerate(text[1:]) if row % 5 in (0, 3))]) + "\n"
    )
    assert "timeseries" not in str(draft("c.csv").sections["data"]["source"])


def refused(what: str, **more: Any) -> tuple[str, str | None]:
    with pytest.raises((ConfigError, DataError)) as error:
        draft(what, **more)
    (fault,) = error.value.faults
    return fault.text, fault.hint


def test_folders_that_cannot_be_decided_on_say_what_to_do() -> None:
    Path("empty").mkdir()
    assert refused("empty")[0] == "no files"
    texts({"flat": 12})
    text, hint = refused("flat")
    assert text == "texts without classes: what is to be learned?"
    assert hint is not None
    assert "subfolder" in hint
    texts({"one/a": 12})
    assert refused("one") == ("one subfolder, 'a': classes need two or more", "for files without classes: --from one/a")
    texts({"mixed/a": 6, "mixed/b": 6, "mixed": 1})
    assert refused("mixed")[0] == "1 file lies beside the 2 subfolders of classes"
    texts({"pictures/a": 12})
    Path("pictures/b").mkdir()
    Path("pictures/b/1.png").touch()
    assert refused("pictures") == ("the subfolder of a class has no files with .txt", "move it elsewhere")
    texts({"few/a": 2, "few/b": 2})
    assert refused("few")[0] == "4 files: at least 10 are needed to train, validate and test"
    Path("tables").mkdir()
    Path("tables/t.csv").write_text("a,b\n")
    assert refused("tables") == ("'tables' is a folder of tables", "--from tables/t.csv")
    assert refused("few", target="a")[0].startswith("--target: a folder has no columns")
    Path("few/a/0.txt").write_bytes(b"\xff\xfe bad")
    texts({"few/b": 12})
    assert refused("few")[0] == "not UTF-8 (byte 0xff)"


def test_columns_that_name_pictures_become_inputs_of_pictures() -> None:
    images({"photos/all": 30}, (16, 20, 3))
    Path("photos/all/3.png").write_bytes(b"junk")
    rows = "".join(f"all/{row}.png,{row * 7 % 13},{'ab'[row % 2]}\n" for row in range(30)) + ",3,a\n"
    Path("t.csv").write_text("photo,number,kind\n" + rows)
    found = draft("t.csv", "kind")
    settings = {"directory": "photos", "color_mode": "rgb", "size": [16, 20], "on_corrupt": "skip"}
    assert source(found) == {"path": "t.csv", "files": {"photo": {"image": settings}}}
    assert found.sections["data"]["inputs"]["photo"] == [{"rescaling": "$(1/255)"}]
    assert "'photo' names pictures; images are 16x20 pixels" in found.reasons()
    for line in smoke(Path("config.yaml"), flags=[]):
        assert line


def test_names_without_files_stay_words() -> None:
    rows = "".join(f"{row}.png,{row * 7 % 13},{'ab'[row % 2]}\n" for row in range(30))
    Path("t.csv").write_text("photo,number,kind\n" + rows)
    assert source(draft("t.csv", "kind")) == {"path": "t.csv"}


def test_columns_that_name_sounds_become_inputs_of_sounds() -> None:
    for row in range(30):
        with wave.open(f"{row}.wav", "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(np.random.default_rng(row).integers(-999, 999, 2000 + row).astype("<i2").tobytes())
    Path("t.csv").write_text("clip,kind\n" + "".join(f"{row}.wav,{'ab'[row % 2]}\n" for row in range(30)))
    found = draft("t.csv")
    assert source(found)["files"] == {"clip": {"audio": {"directory": ".", "rate": 8000, "seconds": 0.254}}}
    for line in smoke(Path("config.yaml"), flags=[]):
        assert line
