"""Files of images and texts that `predict` and `evaluate` are given: damaged ones, their classes, texts for a table."""

import io
from pathlib import Path

import pytest

from kerascli.foundation.errors import DataError
from kerascli.runs.record import RunRecord
from kerascli.workflow.evaluation.groups import evaluate_groups
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import Form, predict_run
from kerascli.workflow.rows.command_rows import rows_of
from kerascli.workflow.stream import predict_stream
from tests.support.runs_harness import train, write
from tests.workflow.test_command_input import PICTURES, TEXTS, draw, home, same


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(2):
        draw(folder / "pictures" / "dark" / f"{number}.png", number * 20)
        draw(folder / "pictures" / "light" / f"{number}.jpg", 255 - number * 20)
    return train(write(folder, PICTURES), folder / "runs")[0]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("texts")
    for name, words in (("bad", "awful"), ("good", "great")):
        (folder / "texts" / name).mkdir(parents=True)
        for number in range(4):
            (folder / "texts" / name / f"{number}.txt").write_text(f"{words} film {number}")
    return train(write(folder, TEXTS), folder / "runs")[0]


def test_classes_of_subfolders_are_kept_and_grouped_by_name(pictures: RunRecord, texts: RunRecord) -> None:
    for record, names in ((pictures, ["dark", "light"]), (texts, ["bad", "good"])):
        run = open_run(record)
        found = predict_run(run, "train", keep=["file", "label"])
        assert found.kept["label"].tolist() == [Path(each).parent.name for each in found.kept["file"].tolist()]
        _, groups = evaluate_groups(run, rows_of(run, "train", targets=True, keep=["label"]), "train", ["label"])
        assert [group.name for group in groups["label"]] == names


def test_damaged_images_are_left_out_where_the_source_says_so(pictures: RunRecord, tmp_path: Path) -> None:
    shades = {"dark/a.png": 10, "dark/b.png": 40, "light/c.png": 200}
    good = [str(draw(tmp_path / "new" / name, shade)) for name, shade in shades.items()]
    (tmp_path / "new" / "dark" / "bad.png").write_text("junk")
    (tmp_path / "new" / "light" / "none.png").touch()
    with pytest.raises(DataError) as caught:
        predict_run(open_run(pictures), str(tmp_path / "new"))
    assert caught.value.faults[-1].hint == "mend or remove them"  # the config of a run is settled
    (tmp_path / "pictures").symlink_to(home(pictures) / "pictures")
    text = PICTURES.replace("image_size: [4, 4]", "image_size: [4, 4], on_corrupt: skip")
    run = open_run(train(write(tmp_path, text), tmp_path / "runs")[0])
    found = predict_run(run, [str(tmp_path / "new"), good[0]])
    assert found.kept["file"].tolist() == [*good, good[0]]
    same(found, predict_run(run, [*good, good[0]]))
    (warning,) = run.warnings
    assert warning.text.startswith("the files: 2 of 6 images skipped (on_corrupt: skip): ")
    assert all(name in warning.text for name in ("bad.png", "none.png"))
    assert rows_of(run, str(tmp_path / "new"), targets=True).rows == 3
    with pytest.raises(DataError, match="not an image"):
        predict_run(run, str(tmp_path / "new" / "dark" / "bad.png"))


def test_an_image_without_its_folder_has_no_class(pictures: RunRecord) -> None:
    with pytest.raises(DataError, match="a file alone says no class") as caught:
        rows_of(open_run(pictures), str(home(pictures) / "pictures" / "dark" / "0.png"), targets=True)
    assert caught.value.faults[0].hint == "give the folder that has a folder for each class"


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("sentences")
    (folder / "rows.csv").write_text(
        "id,said,y\n" + "".join(f"{i},{'great' if i % 2 else 'awful'} film,{i % 2}\n" for i in range(8))
    )
    text = TEXTS.replace("{text_folder: {directory: texts}}", "{csv: {path: rows.csv}}")
    return train(write(folder, text.replace("text: [{", "said: [{").replace("label", "y")), folder / "runs")[0]


def test_a_run_of_a_table_takes_texts_in_files(sentences: RunRecord, tmp_path: Path) -> None:
    run = open_run(sentences)
    words = ["a great film", "", "awful"]
    (tmp_path / "more").mkdir()
    files = [tmp_path / "more" / f"{number}.txt" for number in range(3)]
    for path, word in zip(files, words, strict=True):
        path.write_text(word)
    expected = predict_run(run, [], texts=words)
    for given in ([str(tmp_path / "more")], list(map(str, files))):
        found = predict_run(run, given)
        same(found, expected)
        assert found.kept["file"].tolist() == list(map(str, files))
    table = tmp_path / "table.txt"  # its header has the column
    table.write_text('id,"said"\n1,a great film\n')
    same(predict_run(run, [str(table), str(files[1])]), expected, [0, 1])
    with pytest.raises(DataError, match="is a folder; the run's source"):
        rows_of(run, str(tmp_path / "more"), targets=True)


def test_an_image_in_a_pipe_is_refused(pictures: RunRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    image = (home(pictures) / "pictures" / "dark" / "0.png").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(image)))
    with pytest.raises(DataError, match="images are read from files"):
        predict_run(open_run(pictures), "-")


def test_a_streamed_row_without_a_column_is_reported_with_its_line(texts: RunRecord) -> None:
    run = open_run(texts)
    lines = [b'{"text": "great"}\n', b'{"txt": "great"}\n', b"\n", b'{"note": 1}\n']
    for arrivals in ([lines], [[line] for line in lines]):
        errors = [found for found in predict_stream(run, arrivals, Form()) if isinstance(found, DataError)]
        assert [str(error.faults[0].place) for error in errors] == ["standard input:2", "standard input:4"]
