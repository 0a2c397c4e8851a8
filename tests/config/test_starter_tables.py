"""Tables of `init --from`: decisions about format, columns, target and split; each config is valid and reads them."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerascli.config.data import load_config_data
from kerascli.config.load import open_config
from kerascli.config.starter import text_sample
from kerascli.config.starter.draft import Draft
from kerascli.config.starter.start import start_from
from kerascli.data.base import Context
from kerascli.data.section import parse_data
from kerascli.foundation.errors import ConfigError, DataError
from kerascli.workflow.check import check
from tests.support.needs import library

ROWS = 60
SOME_NUMBERS = np.random.default_rng(1).normal(size=ROWS).tolist()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(text: str | bytes, name: str = "a.csv") -> Path:
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return Path(name)


def draft(text: str | bytes, name: str = "a.csv", target: str | None = None, kind: str | None = None) -> Draft:
    return start_from(written(text, name), name, target, kind)


def rows(line: Callable[[int], str], header: str, count: int = ROWS, sep: str = "\n") -> str:
    return sep.join([header, *map(line, range(count))]) + sep


def loaded(found: Draft) -> dict[str, np.ndarray]:
    """Write the config, validate it, and return the columns that its source reads."""
    Path("config.yaml").write_text(found.text("config.yaml"), encoding="utf-8")
    assert check(Path("config.yaml"), sets=[], flags=[]).lines[0] == "config.yaml: ok"
    (table,) = parse_data(found.sections["data"]).source.load(Context(Path(), seed=0)).values()
    return {name: table.array(name) for name in table}


def source(found: Draft) -> dict[str, Any]:
    ((_, settings),) = found.sections["data"]["source"].items()
    return {key: value for key, value in settings.items() if key != "path"}


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        (rows(lambda n: f"{n % 7},{n % 5},{'pq'[n % 2]}", "a,b,y"), {}),
        (rows(lambda n: f"{n % 7};{n % 5};{'pq'[n % 2]}", "a;b;y"), {"delimiter": ";"}),
        (rows(lambda n: f"{n % 7}|{n % 5}|{'pq'[n % 2]}", "a|b|y"), {"delimiter": "|"}),
        (rows(lambda n: f"{n % 7},5;{n % 5};{'pq'[n % 2]}", "a;b;y"), {"delimiter": ";", "decimal": ","}),
        (rows(lambda n: f"{n % 7 + 1}.234,5;{n % 5};{'pq'[n % 2]}", "a;b;y"),
         {"delimiter": ";", "decimal": ",", "thousands": "."}),
        (rows(lambda n: f"{n % 7 + 1},234.5;{n % 5};{'pq'[n % 2]}", "a;b;y"), {"delimiter": ";", "thousands": ","}),
        (rows(lambda n: f"{'NA' if n % 9 == 0 else n % 7},{n % 5},{'pq'[n % 2]}", "a,b,y"), {"na_values": ["NA"]}),
        (rows(lambda n: f"{n % 7},{'?' if n % 9 == 0 else 'uvw'[n % 3]},{'pq'[n % 2]}", "a,b,y"), {"na_values": ["?"]}),
        ("from the office\n" + rows(lambda n: ("# moved\n" if n == 30 else "") + f"{n};{n % 5};{'pq'[n % 2]}", "a;b;y"),
         {"delimiter": ";", "skip_rows": 1, "comment": "#"}),
        ("# made by hand\n# in 2026\n" + rows(lambda n: f"{n % 7},{n % 5},{'pq'[n % 2]}", "a,b,y"), {"comment": "#"}),
        ("A report\n\n" + rows(lambda n: f"{n % 7},{n % 5},{'pq'[n % 2]}", "a,b,y"), {"skip_rows": 2}),
        (rows(lambda n: f"{n % 7},{n % 5},{'pq'[n % 2]}", "1,2,p"), {"names": ["column_1", "column_2", "column_3"]}),
        (rows(lambda n: f"{n % 7},0{n % 5 + 10},{'pq'[n % 2]}", "a,zip,y"), {"dtypes": {"zip": "text"}}),
        (rows(lambda n: f"{n % 7},{'äö'[n % 2]},{'pq'[n % 2]}", "a,b,y").encode("cp1252"), {"encoding": "cp1252"}),
        (rows(lambda n: f"{n % 7},{'äö'[n % 2]},{'pq'[n % 2]}", "a,b,y").encode("utf-16"), {"encoding": "utf-16"}),
        (rows(lambda n: f"{n % 7},{n % 5},{'pq'[n % 2]}", "a,b,y", sep="\r\n").encode("utf-8-sig"), {}),
    ],
)  # fmt: skip
def test_the_format_of_text_is_seen(text: str | bytes, settings: dict[str, Any]) -> None:
    found = draft(text)
    assert source(found) == settings
    columns = list(loaded(found).values())
    assert len(columns) == 3
    assert len(columns[0]) == ROWS + ("names" in settings)
    assert columns[0].dtype.kind in "if"
    assert len(found.decisions["data"]) > len(settings)  # each is said


@pytest.mark.parametrize(
    ("name", "pack"),
    [("a.tsv", lambda text: text.replace(",", "\t").encode()), ("a.csv.gz", lambda text: gzip.compress(text.encode()))],
)
def test_other_files_are_read(name: str, pack: Callable[[str], bytes]) -> None:
    found = draft(pack(rows(lambda n: f"{n % 7},{n % 5},{'pq'[n % 2]}", "a,b,y")), name)
    assert [*found.sections["data"]["source"]] == [name.split(".")[1]]
    assert len(loaded(found)["a"]) == ROWS


def test_json_lines_and_parquet_are_read() -> None:
    pa = library("pyarrow")
    from pyarrow import parquet

    objects = [{"a": n % 7, "b": "uvw"[n % 3], "y": n % 2 == 0} for n in range(ROWS)]
    found = draft("".join(json.dumps(each) + "\n" for each in objects), "a.jsonl")
    assert "json_lines" in found.sections["data"]["source"]
    assert loaded(found)["y"].tolist() == [int(each["y"]) for each in objects]
    parquet.write_table(pa.Table.from_pylist(objects), "a.parquet")
    again = start_from(Path("a.parquet"), "a.parquet")
    assert len(loaded(again)["a"]) == ROWS
    assert [*again.sections["data"]["inputs"]] == [*found.sections["data"]["inputs"]] == ["numbers", "b"]


def test_large_integers_beside_missing_values_are_left_out_of_parquet() -> None:
    pa = library("pyarrow")
    from pyarrow import parquet

    ids = [10**17 + n if n else None for n in range(ROWS)]
    table = pa.table({"ref": ids, "a": SOME_NUMBERS, "y": [n % 2 for n in range(ROWS)]})
    parquet.write_table(table, "a.parquet")
    found = start_from(Path("a.parquet"), "a.parquet")
    assert "left out: ref (integers beyond 2**53 beside missing values)" in found.reasons()
    assert check_warnings(found) == []


def test_a_sample_of_a_large_file_comes_from_all_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_sample, "MAX_BYTES", 4096)
    found = draft(rows(lambda n: f"{n % 7},{n % 5},{'pqr'[n // 2000]}", "a,b,y", count=6000))
    assert found.decisions["data"][0].startswith("looked at ")
    assert any("'y' has 3 classes" in text for text in found.reasons())
    loaded(found)


def inputs(found: Draft) -> dict[str, Any]:
    return found.sections["data"]["inputs"]


def test_each_kind_of_column_has_its_transforms() -> None:
    random = np.random.default_rng(0)
    prose = ["the quick brown fox", "jumps over a lazy dog again", "and the cat sleeps all day"]
    text = rows(
        lambda n: (
            f"{n},{n % 7 or ''},{random.lognormal(0, 3):.3f},{['u', 'v', ''][n % 3]},{prose[n % 3]} {n},"
            f"2026-01-{n % 28 + 1:02d}T{n % 24:02d}:00,{random.random():.3f}"
        ),
        "id,some,money,word,text,when,y",
    )
    found = draft(text)
    assert inputs(found) == {
        "numbers": [{"columns": ["some"]}, {"impute": "median"}, "normalization"],
        "skewed": [{"columns": ["money"]}, {"impute": "median"}, "log1p", "normalization"],
        "word": [
            {"impute": {"strategy": "constant", "fill_value": "missing"}},
            {"string_lookup": {"output_mode": "one_hot"}},
        ],
        "text": [{"text_vectorization": {"max_tokens": 2000, "output_mode": "multi_hot"}}],
        "when": [
            {"impute": "most_frequent"},
            {"datetime": {"parts": ["weekday"], "cyclic": True}},
            "normalization",
        ],
    }  # fmt: skip
    assert found.sections["data"]["split"]["order"] == "when"
    assert "left out: id (row numbers)" in found.reasons()
    assert "left out: the hour of when (the later rows have values that the rows to train on lack)" in found.reasons()
    loaded(found)


def test_dates_of_other_forms_are_features_but_no_order() -> None:
    text = rows(lambda n: f"{n % 28 + 1:02d}.{n % 12 + 1:02d}.2024,{n % 7},{'pq'[n % 2]}", "day,a,y")
    found = draft(text)
    assert inputs(found)["day"][1]["datetime"]["format"] == "%d.%m.%Y"
    assert "order" not in found.sections["data"]["split"]
    assert any("write it as 2026-11-27" in said for said in found.reasons())
    loaded(found)


def test_an_identifier_that_repeats_groups_the_split() -> None:
    found = draft(rows(lambda n: f"{n % 20},{n % 7},{'pq'[n % 3 % 2]}", "customer_id,a,y"))
    assert found.sections["data"]["split"]["group"] == "customer_id"
    assert "customer_id" not in str(inputs(found))
    loaded(found)


def test_a_split_of_few_groups_that_would_have_an_empty_part_is_not_grouped() -> None:
    found = draft(rows(lambda n: f"{n % 5},{n % 7},{n / 7}", "customer_id,a,y", count=10))
    assert found.sections["data"]["split"] == {"validation": 0.15, "test": 0.15}
    assert "'customer_id' repeats, but has too few values to split by" in "\n".join(found.reasons())
    loaded(found)


def test_a_column_that_says_the_target_is_left_out() -> None:
    found = draft(rows(lambda n: f"{n % 7},{['no', 'yes'][n % 2]},{n % 2}", "a,alive,survived"))
    assert list(inputs(found)) == ["numbers"]
    assert "left out: alive (each value goes with one of 'survived')" in found.reasons()


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ("a,b,c", "c"),
        ("a,Target,c", "Target"),
        ("a,species,c", "species"),
        ("class,b,c", "class"),
        ("y,label,c", "label"),
    ],
)
def test_the_target_is_found_by_its_name_or_is_the_last_column(header: str, target: str) -> None:
    found = draft(rows(lambda n: f"{n % 7},{n % 5},{n % 3}", header))
    assert next(iter(found.sections["data"]["targets"])).startswith(target)
    assert any(said.startswith(f"target: {target} (") for said in found.reasons())


@pytest.mark.parametrize(
    ("words", "positive"),
    [(("no", "yes"), "yes"), (("ham", "spam"), "spam"), ((0, 1), 1), ((-1, 1), 1), ((1, 2), 2), (("b", "a"), "a"),
     (("Yes", "No"), "Yes"), (("benign", "malignant"), "malignant")],
)  # fmt: skip
def test_the_positive_class_is_written_and_said(words: tuple[Any, Any], positive: Any) -> None:
    found = draft(rows(lambda n: f"{n % 7},{words[n % 3 == 0]}", "a,y"))  # the second is the rarer
    (lookup,) = found.sections["data"]["targets"]["y"]
    assert [each["positive"] for each in lookup.values()] == [positive]
    assert f"the positive class is '{positive}': the model predicts its probability" in found.reasons()
    assert found.sections["compile"]["loss"] == "binary_crossentropy"
    loaded(found)


@pytest.mark.parametrize("words", [("False", "True"), ("0.0", "1.0")])
def test_classes_that_are_no_integers_are_stratified(words: tuple[str, str]) -> None:
    data = draft(rows(lambda n: f"{n % 7},{words[n % 3 == 0]}", "a,y")).sections["data"]
    assert data["split"]["stratify"] == "y"
    assert data["targets"]["y"] == [{"cast": "int64"}, {"integer_lookup": {"positive": 1}}]


def test_uneven_classes_are_weighted() -> None:
    found = draft(rows(lambda n: f"{n % 7},{'yes' if n % 10 == 0 else 'no'}", "a,y", count=200))
    assert found.sections["fit"]["class_weight"] == "balanced"
    assert "accuracy" not in found.sections["compile"]["metrics"]
    loaded(found)


def test_a_rare_class_is_written_out_as_training_may_not_meet_it() -> None:
    found = draft(rows(lambda n: f"{n % 7},{'r' if n == 59 else 'pq'[n % 2]}", "a,y"))
    assert found.sections["data"]["targets"]["y"] == [{"string_lookup": {"vocabulary": ["p", "q", "r"]}}]
    loaded(found)


def test_rows_without_a_label_are_left_out() -> None:
    found = draft(rows(lambda n: f"{n % 7},{['p', 'q', ''][n % 3]}", "a,y"))
    assert found.sections["data"]["where"] == {"y": ["p", "q"]}
    loaded(found)


def test_a_number_with_a_few_large_values_is_learned_as_its_logarithm() -> None:
    random = np.random.default_rng(0)
    found = draft(rows(lambda n: f"{n % 7},{random.lognormal(5, 2):.4f}", "a,price", count=200))
    assert found.sections["data"]["targets"]["price"] == ["log", "normalization"]
    assert found.sections["compile"] == {"loss": "mse", "optimizer": "adam", "metrics": ["mae", "r2_score"]}
    loaded(found)


def test_few_rows_have_the_mean_of_several_networks_and_many_a_wider_one() -> None:
    few = draft(rows(lambda n: f"{n % 7},{'pq'[n % 2]}", "a,y"))
    assert few.sections["model"]["layers"][-2] == {"average": [f"member_{number}" for number in range(1, 5)]}
    many = draft(rows(lambda n: f"{n % 7},{'pq'[n % 2]}", "a,y", count=6000))
    assert many.sections["model"]["layers"][0] == {"dense": {"units": 128, "activation": "relu"}}
    assert many.sections["fit"]["batch_size"] > few.sections["fit"]["batch_size"]


@pytest.mark.parametrize("kind", [None, "linear", "mlp", "wide_and_deep"])
@pytest.mark.parametrize("labels", ["pq", "pqr", None])
def test_each_model_of_the_ladder_fits_a_table(kind: str | None, labels: str | None) -> None:
    text = rows(lambda n: f"{n % 7},{'uv'[n % 2]},{labels[n % len(labels)] if labels else n / 7}", "a,b,y")
    loaded(draft(text, kind=kind))


@pytest.mark.parametrize("kind", ["cnn", "resnet", "lstm", "transformer"])
def test_a_model_that_does_not_fit_names_those_that_do(kind: str) -> None:
    with pytest.raises(ConfigError) as refused:
        draft(rows(lambda n: f"{n % 7},{'pq'[n % 2]}", "a,y"), kind=kind)
    assert refused.value.faults[0].text == f"--model: '{kind}' does not fit a table"
    assert refused.value.faults[0].hint == "these do: linear, mlp, wide_and_deep"


@pytest.mark.parametrize(
    ("data", "name", "said", "hint"),
    [
        (b"", "a.csv", "the file is empty", None),
        (b"a,b\n", "a.csv", "a header but no rows", None),
        (b"x", "a.png", "'a.png' is one image: init looks at a folder of them", "--from ."),
        (b"a,b\n1,2\0\n", "a.csv", "this is no text: it has zero bytes", None),
        (b"x", "a.xlsx", "'a.xlsx': init reads CSV, TSV, JSON Lines and Parquet, folders of images and of texts",
         "write the table as a.csv, or as .jsonl or .parquet"),
        (b"a,b\n1,2\n1,2,3\n3,4\n", "a.csv", "3 fields, the header has 2", None),
        (rows(lambda n: f"{n % 7},{n % 5},2026-01-{n % 28 + 1:02d}", "a,b,day").encode(), "a.csv",
         "which column is the target? The last, 'day', holds dates",
         "--target COLUMN says it, for example --target b"),
    ],
)  # fmt: skip
def test_what_cannot_be_decided_says_what_to_do(data: bytes, name: str, said: str, hint: str | None) -> None:
    with pytest.raises((ConfigError, DataError)) as refused:
        draft(data, name)
    assert refused.value.faults[0].text == said
    assert refused.value.faults[0].hint == hint


def test_minus_one_is_a_class_and_not_the_token_of_unknown_values() -> None:
    found = draft(rows(lambda n: f"{n % 7},{-1 if n % 2 else 1}", "a,y"))
    Path("config.yaml").write_text(found.text("config.yaml"), encoding="utf-8")
    facts = load_config_data(open_config(Path("config.yaml"))).facts
    assert facts.targets["y"].classes == ("-1", "1")


@pytest.mark.parametrize("share", [1, 3])
def test_rows_whose_first_field_begins_like_a_comment_are_rows(share: int) -> None:
    found = draft(rows(lambda n: f"{'#' * (n % share == 0)}hot{n % 4},{n % 7},{'pq'[n % 2]}", "tag,a,y"))
    assert "comment" not in source(found)


def test_a_comment_far_below_the_header_is_seen() -> None:
    text = rows(lambda n: ("# moved, all of it\n" if n == 250 else "") + f"{n % 7};{n % 5};{'pq'[n % 2]}", "a;b;y", 300)
    found = draft(text)
    assert source(found) == {"delimiter": ";", "comment": "#"}
    assert {len(values) for values in loaded(found).values()} == {300}


def order_of(count: int) -> list[int]:
    return np.random.default_rng(0).permutation(count).tolist()


SOME = [f"{value:.2f}" for value in SOME_NUMBERS]
LEFT_OUT = {
    "named, with gaps in the count": ("account_id", [3 * n + n % 7 for n in order_of(ROWS)]),
    "named at its start": ("id_of_order", [9 * n + n % 7 for n in order_of(ROWS)]),
    "named, with a missing value": ("id", ["" if n == 5 else 3 * n + n % 7 for n in order_of(ROWS)]),
    "row numbers in another order": ("x", order_of(ROWS)),
    "row numbers with gaps": ("x", [2 * n + n % 2 for n in range(ROWS)]),
    "18 digits": ("ref", [10**17 + n % 9 for n in range(ROWS)]),
    "18 digits with gaps": ("ref", ["" if n == 5 else 10**17 + n for n in range(ROWS)]),
    "25 digits": ("ref", [10**24 + n for n in range(ROWS)]),
    "one value": ("x", [7] * ROWS),
    "one value beside missing ones": ("x", [7, ""] * (ROWS // 2)),
    "one other value": ("x", [1, *[0] * (ROWS - 1)]),
    "numbers whose squares are beyond float64": ("x", [f"{value}e300" for value in SOME]),
}
KEPT = {
    "named, of few values": ("store_id", [n % 4 for n in range(ROWS)]),
    "named, with fractions": ("heat_index", SOME),
    "prices": ("price", [37 * n + n % 7 for n in order_of(ROWS)]),
    "a grid": ("dose", [5 * n for n in range(ROWS)]),
    "some other values": ("x", [1] * 5 + [0] * (ROWS - 5)),
    "different measurements": ("x", SOME),
}


@pytest.mark.parametrize("case", [*LEFT_OUT, *KEPT])
def test_columns_that_tell_nothing_are_left_out_and_named(case: str) -> None:
    name, values = (LEFT_OUT | KEPT)[case]
    is_used = case in KEPT
    found = draft(rows(lambda n: f"{values[n]},{'' if n == 3 else n % 7},{'pq'[n % 2]}", f"{name},a,y"))
    assert inputs(found)["numbers"][0] == {"columns": [name, "a"] if is_used else ["a"]}
    assert any(said.startswith(f"left out: {name} (") for said in found.reasons()) is not is_used


@pytest.mark.parametrize("header", ["y,x", "x,target"])
def test_the_only_input_and_the_target_are_not_left_out(header: str) -> None:
    found = draft(rows(lambda n: f"{2 * n + n % 2},{2 * n + (n + 1) % 2}", header))
    assert inputs(found) == {"numbers": [{"columns": ["x"]}, {"impute": "median"}, "normalization"]}


def test_few_different_integers_are_no_identifier() -> None:
    found = draft(rows(lambda n: f"{7 * n % 12},{'pq'[n % 2]}", "rooms,y", count=12))
    assert inputs(found)["numbers"][0] == {"columns": ["rooms"]}


def test_a_split_by_time_tests_no_month_that_training_lacks() -> None:
    """Parts of dates whose later values the training rows lack are left out, and columns that are constant in them."""
    days = np.arange("2023-01-01", "2023-12-31", dtype="datetime64[D]").astype(str)
    found = draft(rows(lambda n: f"{days[n]},{int(n > 300)},{n % 7},{'pq'[n % 2]}", "day,late,a,y", len(days)))
    assert inputs(found)["day"][1] == {"datetime": {"parts": ["weekday"], "cyclic": True}}
    assert "left out: late (one value in the rows to train on)" in found.reasons()
    assert "left out: the month of day (the later rows have values that the rows to train on lack)" in found.reasons()
    assert check_warnings(found) == []
    days = np.arange("2021-01-01", "2023-12-31", dtype="datetime64[D]").astype(str)
    found = draft(rows(lambda n: f"{days[n]},{n % 7},{'pq'[n % 2]}", "day,a,y", len(days)))
    assert inputs(found)["day"][1] == {"datetime": {"parts": ["month", "weekday"], "cyclic": True}}


def check_warnings(found: Draft) -> list[str]:
    Path("config.yaml").write_text(found.text("config.yaml"), encoding="utf-8")
    return [fault.text for fault in check(Path("config.yaml"), sets=[], flags=[]).warnings]


def test_lines_in_quotes_and_decimal_commas_leave_the_header_a_header() -> None:
    quoted = draft(rows(lambda n: f'{n % 7},"two\nlines of {n % 5}",{"pq"[n % 2]}', "a,b,y"))
    assert [source(quoted), [*loaded(quoted)]] == [{}, ["a", "b", "y"]]
    commas = draft(rows(lambda n: f"{n % 7},5;{n % 5},25;{'pq'[n % 2]}", "a;b;y"))
    assert source(commas) == {"decimal": ",", "delimiter": ";"}
    packed = gzip.compress(rows(lambda n: f'{n % 7},"two\nlines of {n % 5}",{"pq"[n % 2]}', "a,b,y", 9000).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_sample, "MAX_BYTES", 4095)
        assert source(draft(packed, "a.csv.gz")) == {}


def test_the_sample_of_a_large_table_has_its_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_sample, "MAX_BYTES", 4096)
    text = "made by hand\n" + rows(lambda n: f'{n % 7},5;"{n % 5};\n";{"äö"[n % 2]}', "a;b;y", 6000)
    values = loaded(draft(text.encode("cp1252")))
    assert {name: set(values[name]) for name in "aby"} == {
        "a": {n + 0.5 for n in range(7)}, "b": {f"{n};\n" for n in range(5)}, "y": {*"äö"},
    }  # fmt: skip
