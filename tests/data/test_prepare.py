"""Splits, fitted transforms and preparation: which rows are used, what is done per batch, what a run stores."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
import torch
from keras.src.trainers.data_adapters.array_slicing import train_validation_split
from pyarrow import parquet
from torch import Tensor

from kerascli.data.base import SOURCES, Context, Field
from kerascli.data.pipeline.learned_state import load_learned, save_learned
from kerascli.data.pipeline.prepare import PreparedData, data_facts, fitted_preparer, load_data, stages
from kerascli.data.read import read_raw
from kerascli.data.section import DataSpec, parse_data
from kerascli.data.split import random_split, shuffled, stable_order
from kerascli.data.storage.table import Table
from kerascli.foundation.errors import ConfigError, DataError, FileRefused
from tests.support.data_harness import whole

CONFIGS = Path(__file__).parents[2] / "configs"

MEASURES = ["bill_length_mm", "bill_depth_mm", "body_mass_g"]
PENGUINS = {
    "source": {"csv": {"path": "data/penguins.csv"}},
    "split": {"validation": 0.1, "test": 0.2, "stratify": "species", "seed": 7},
    "inputs": {
        "measures": [{"columns": MEASURES}, {"impute": "median"}, "normalization"],
        "island": [{"string_lookup": {"output_mode": "one_hot"}}],
    },
    "targets": {"species": ["string_lookup"]},
    "sample_weight": {"species": [{"columns": "weight"}]},
}


def raw(spec: DataSpec, path: Path, context: Context) -> Table:
    """Read a file in the folder of a config."""
    return read_raw(spec, context.folder / path, columns=spec.columns(), name=str(path))


def penguins() -> tuple[DataSpec, Context]:
    return parse_data(PENGUINS), Context(CONFIGS, 1)


def arrays(folder: Path, **columns: Any) -> Context:
    np.savez(folder / "t.npz", allow_pickle=False, **{name: np.asarray(values) for name, values in columns.items()})
    return Context(folder, 1)


def load(folder: Path, section: dict[str, Any], validation_split: float = 0.0, **columns: Any) -> PreparedData:
    context = arrays(folder, **columns)
    return load_data(parse_data({"source": {"npz": "t.npz"}, **section}), context, validation_split=validation_split)


def test_penguins_come_out_as_the_language_says() -> None:
    spec, context = penguins()
    data = load_data(spec, context)
    assert {name: split.rows for name, split in data.splits.items()} == {"train": 280, "validation": 40, "test": 80}
    assert data.facts.inputs["measures"] == Field((3,), "float32")
    assert data.facts.inputs["island"].shape == (4,)
    assert data.facts.targets["species"].classes == ("Adelie", "Chinstrap", "Gentoo")
    train = whole(data.splits["train"])
    np.testing.assert_allclose(train.inputs["measures"].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(train.inputs["measures"].std(axis=0), 1, atol=1e-6)
    assert set(np.unique(train.sample_weight["species"])) == {0.5, 1.0}


def test_a_stratified_split_is_exact_to_a_row_in_every_class() -> None:
    strata = np.repeat(np.array(["a", "b", "c"], dtype=object), (97, 11, 42))
    parts = random_split(np.unique(strata, return_inverse=True)[1], {"validation": 0.1, "test": 0.2}, 5)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(150))
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 105, "validation": 15, "test": 30}
    for name, share in (("validation", 0.1), ("test", 0.2), ("train", 0.7)):
        for word, size in (("a", 97), ("b", 11), ("c", 42)):
            assert abs((strata[parts[name]] == word).sum() - share * size) < 1 + 1e-9, (name, word)


def test_a_split_depends_on_its_seed_alone() -> None:
    first, again, other = (random_split(np.zeros(100, int), {"test": 0.25}, seed)["test"] for seed in (3, 3, 4))
    assert first.tolist() == again.tolist() != other.tolist()


def philox(counter: int, key: int) -> list[int]:
    """Return four words of Philox-4x64-10, as defined by Salmon et al. (2011)."""
    mask = 2**64 - 1
    state, keys = [counter, 0, 0, 0], [key, 0]
    for _ in range(10):
        first, second = state[0] * 0xD2E7470EE14C6C93, state[2] * 0xCA5A826395121157
        state = [(second >> 64) ^ state[1] ^ keys[0], second & mask, (first >> 64) ^ state[3] ^ keys[1], first & mask]
        keys = [(keys[0] + 0x9E3779B97F4A7C15) & mask, (keys[1] + 0xBB67AE8584CAA73B) & mask]
    return state


def test_the_shuffle_is_fixed_for_all_time() -> None:
    """The order is that of Philox-4x64-10 words under the key, with counters from 1."""
    published = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    assert philox(counter=0, key=0) == published  # Random123's kat_vectors
    words = philox(counter=1, key=0) + philox(counter=2, key=0)
    assert shuffled(8, 0).tolist() == sorted(range(8), key=lambda row: words[row])
    assert len(set(shuffled(1000, 9).tolist())) == 1000


def test_words_with_the_same_high_bits_are_in_the_order_of_a_stable_argsort() -> None:
    words = np.random.default_rng(0).integers(0, 40, 1000).astype(np.uint64)  # also equal ones, and runs of several
    high = np.random.default_rng(1).integers(0, 3, 1000).astype(np.uint64) << np.uint64(60)
    for each in (words, high | words, words[:1], words[:0]):
        assert stable_order(each).tolist() == np.argsort(each, kind="stable").tolist()


@pytest.mark.parametrize("rows", [5, 10, 99, 1000])
@pytest.mark.parametrize("part", [0.1, 0.2, 0.33, 0.5])
def test_validation_split_cuts_where_keras_cuts(rows: int, part: float, tmp_path: Path) -> None:
    x = np.arange(rows, dtype=np.float32)
    parts: Any = train_validation_split([x], part)  # lists of one array each
    head, tail = parts
    data = load(tmp_path, {"inputs": {"x": []}}, validation_split=part, x=x)
    np.testing.assert_array_equal(whole(data.splits["train"]).inputs["x"], head[0])
    np.testing.assert_array_equal(whole(data.splits["validation"]).inputs["x"], tail[0])


def test_transforms_learn_from_training_rows_alone(tmp_path: Path) -> None:
    x = np.array([1.0, 3.0, 1.0, 3.0, 1000.0])
    data = load(tmp_path, {"inputs": {"x": "normalization"}}, validation_split=0.2, x=x)
    assert data.learned["inputs.x.0"].arrays["mean"] == 2.0
    np.testing.assert_allclose(whole(data.splits["validation"]).inputs["x"], [998.0])


def test_class_numbers_tell_how_many_classes_there_are(tmp_path: Path) -> None:
    section = {"inputs": {"x": []}, "targets": {"y": [], "z": [], "w": []}}
    facts = load(tmp_path, section, x=[1.0, 2.0], y=[0, 4], z=[-1, 2], w=[1.0, 2.0]).facts.targets
    assert [facts[name].num_classes for name in "yzw"] == [5, None, None]


def test_two_validation_sets_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the data has a 'validation' split already"):
        load(tmp_path, {"inputs": {"x": []}, "split": {"validation": 0.5}}, validation_split=0.2, x=np.zeros(10))


def finish(data: PreparedData, split: str) -> dict[str, Tensor]:
    return data.input_stage(
        {name: torch.from_numpy(values) for name, values in whole(data.splits[split]).inputs.items()}
    )


def test_bytes_stay_bytes_until_the_batch(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (6, 4, 4)).astype(np.uint8)
    steps = [{"reshape": [16]}, {"rescaling": 1 / 255}, "normalization"]
    data = load(tmp_path, {"inputs": {"x": steps}}, x=x)
    kept = whole(data.splits["train"]).inputs["x"]
    # What normalization learns from has to be rescaled; from there on, the batch goes on.
    assert (kept.shape, kept.dtype.name) == ((6, 16), "float32")
    scaled = x.reshape(6, 16) / 255.0
    expected = (scaled - scaled.mean(0)) / np.maximum(scaled.std(0), 1e-7)
    np.testing.assert_allclose(finish(data, "train")["x"].numpy(), expected, atol=1e-5)
    data = load(tmp_path, {"inputs": {"x": steps[:2]}}, x=x)
    assert whole(data.splits["train"]).inputs["x"].dtype == np.uint8
    np.testing.assert_allclose(finish(data, "train")["x"].numpy(), scaled, atol=1e-7)
    assert data.facts.inputs["x"] == Field((16,), "float32")


def test_a_step_for_all_rows_takes_what_stands_before_it_along(tmp_path: Path) -> None:
    x = np.arange(6, dtype=np.uint8)
    data = load(tmp_path, {"inputs": {"x": [{"rescaling": 2.0}, {"cast": "int64"}]}}, x=x)
    assert whole(data.splits["train"]).inputs["x"].tolist() == [0, 2, 4, 6, 8, 10]
    assert not len(data.input_stage.suffixes)


def test_a_shared_transform_learns_from_all_who_use_it(tmp_path: Path) -> None:
    section = {"shared": {"words": "string_lookup"}, "inputs": {"a": "words", "b": ["words"]}}
    data = load(tmp_path, section, a=["x", "y"], b=["z", "z"])
    assert data.learned["shared.words"].facts == {"vocabulary": ["z", "y", "x"]}
    assert whole(data.splits["train"]).inputs["a"].tolist() == [3, 2]
    assert whole(data.splits["train"]).inputs["b"].tolist() == [1, 1]


def test_transforms_learn_in_the_order_of_the_config(tmp_path: Path) -> None:
    """Transforms are fitted in the config's order, so that two runs of one config write equal files."""
    names = list("abcdefgh")
    inputs = {name: ["normalization"] for name in names}
    columns: dict[str, Any] = {name: [1.0, 2.0] for name in names}
    data = load(tmp_path, {"inputs": inputs}, **columns)
    assert list(data.learned)[1:] == [f"inputs.{name}.0" for name in names]


def test_shared_transforms_in_crossed_order_are_refused(tmp_path: Path) -> None:
    shared = {"one": "normalization", "two": {"impute": "median"}}
    with pytest.raises(DataError, match="shared transforms are in a different order in another pipeline"):
        load(tmp_path, {"shared": shared, "inputs": {"a": ["one", "two"], "b": ["two", "one"]}}, a=[1.0], b=[2.0])


def test_a_run_keeps_all_that_raw_rows_need() -> None:
    spec, context = penguins()
    data = load_data(spec, context)
    learned = load_learned(save_learned(data.learned))
    kept = stages(spec, learned)
    assert kept.facts == data.facts
    table = raw(spec, Path("data/penguins.csv"), context)
    rows = whole(fitted_preparer(spec, learned, targets=True).split(table))
    again = load_data(spec, context, learned=learned)
    for split in again.splits:
        np.testing.assert_array_equal(
            whole(again.splits[split]).inputs["measures"], whole(data.splits[split]).inputs["measures"]
        )
    assert rows.rows == 400
    inside = {row.tobytes() for row in rows.inputs["measures"]}
    assert all(row.tobytes() in inside for row in whole(data.splits["test"]).inputs["measures"])


def test_predict_needs_no_label_but_every_input(tmp_path: Path) -> None:
    spec, context = penguins()
    learned = load_data(spec, context).learned
    header = ",".join(["island", *MEASURES])
    (tmp_path / "new.csv").write_text(f"{header}\nDream,40,18,\nMoon,41,17,3000\n")
    rows = whole(fitted_preparer(spec, learned, targets=False).split(raw(spec, tmp_path / "new.csv", context)))
    dream = 1 + learned["inputs.island.0"].facts["vocabulary"].index("Dream")
    assert rows.inputs["island"].tolist() == [[int(i == dream) for i in range(4)], [1, 0, 0, 0]]
    assert not rows.targets
    with pytest.raises(DataError, match="there is no column 'species'"):
        fitted_preparer(spec, learned, targets=True).split(raw(spec, tmp_path / "new.csv", context))
    (tmp_path / "new.csv").write_text(f"{header[0]}{header[2:]}\nDream,40,18,\n")
    with pytest.raises(DataError, match="there is no column 'island'; did you mean 'iland'"):
        fitted_preparer(spec, learned, targets=False).split(raw(spec, tmp_path / "new.csv", context))


def test_words_that_look_like_numbers_stay_words_in_later_files(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("code\nA1\n007\n007\n")
    (tmp_path / "later.csv").write_text("code\n007\n12\n")
    spec = parse_data({"source": {"csv": "train.csv"}, "inputs": {"code": "string_lookup"}})
    context = Context(tmp_path, 1)
    learned = load_data(spec, context).learned
    rows = whole(fitted_preparer(spec, learned, targets=False).split(raw(spec, Path("later.csv"), context)))
    assert rows.inputs["code"].tolist() == [1, 0]


@pytest.mark.parametrize("suffix", ["npz", "parquet", "npy"])
def test_raw_files_are_read_by_what_they_are(suffix: str, tmp_path: Path) -> None:
    x = np.arange(6.0).reshape(3, 2) if suffix != "parquet" else np.arange(3.0)
    context = arrays(tmp_path, x=x)
    spec = parse_data({"source": {"npz": "t.npz"}, "inputs": {"x": []}})
    learned = load_data(spec, context).learned
    path = tmp_path / f"raw.{suffix}"
    if suffix == "npz":
        np.savez_compressed(path, x=x)
    elif suffix == "npy":
        np.save(path, x)
    else:
        parquet.write_table(pyarrow.table({"x": x}), path)
    hidden = path.rename(tmp_path / "raw.data")  # the content tells
    np.testing.assert_array_equal(
        whole(fitted_preparer(spec, learned, targets=False).split(raw(spec, hidden, context))).inputs["x"], x
    )


def test_facts_are_known_without_the_file() -> None:
    spec, _ = penguins()
    facts = data_facts(spec, Context(Path("/nowhere"), 1))
    assert not facts.known
    assert facts.inputs["measures"] == Field((3,), "float32")
    assert facts.inputs["island"].shape == (None,)


def test_facts_before_loading_are_those_after_it(tmp_path: Path) -> None:
    context = arrays(tmp_path, x_train=np.zeros((4, 3), np.float32), x_test=np.zeros((2, 3), np.float32))
    for source, target in (("mnist", {"y": {"to_categorical": 10}}), ("blobs", {"y": []}), ({"npz": "t.npz"}, {})):
        spec = parse_data({"source": source, "inputs": {"x": []}, "targets": target})
        before = data_facts(spec, context)
        assert before.known
        assert before == load_data(spec, context).facts


def test_facts_of_a_missing_array_file_are_not_known(tmp_path: Path) -> None:
    spec = parse_data({"source": {"npz": "t.npz"}, "inputs": {"x": []}})
    facts = data_facts(spec, Context(tmp_path, 1))
    assert (facts.inputs, facts.known) == ({}, False)


def test_facts_of_a_column_that_is_not_there_are_an_error_with_its_place() -> None:
    spec = parse_data({"source": "mnist", "inputs": {"z": {"columns": "X"}}})
    with pytest.raises(DataError, match="there is no column 'X'; did you mean 'x'") as caught:
        data_facts(spec, Context(Path(), 1))
    assert caught.value.faults[0].path == ("data", "inputs", "z", 0, "columns")


def test_digests_are_those_of_the_files() -> None:
    spec, context = penguins()
    expected = hashlib.sha256((CONFIGS / "data/penguins.csv").read_bytes()).hexdigest()
    assert load_data(spec, context).digests == {"penguins.csv": expected}
    moved = spec.rebased(CONFIGS, CONFIGS / "data")
    assert load_data(moved, Context(CONFIGS / "data", 1)).digests == {"penguins.csv": expected}


def test_digests_of_generated_data_change_with_it() -> None:
    digests = [
        load_data(parse_data({"source": {"blobs": {"seed": seed}}, "inputs": {"x": []}}), Context(Path(), 1)).digests
        for seed in (1, 1, 2)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_digests_of_a_function_are_of_its_rows_too(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text("1.5")
    code = "def load(folder):\n    return {'x': [float((folder / 'rows').read_text()), 2.0]}\n"
    (tmp_path / "mine.py").write_text(code)
    spec = parse_data({"source": {"python": "mine.py:load"}, "inputs": {"x": []}})
    first, again = (load_data(spec, Context(tmp_path, 1)).digests for _ in range(2))
    assert first == again
    assert first["mine.py"] == hashlib.sha256(code.encode()).hexdigest()
    (tmp_path / "rows").write_text("2.5")
    other = load_data(spec, Context(tmp_path, 1)).digests
    assert (other["mine.py"], other["python"] != first["python"]) == (first["mine.py"], True)


def test_a_file_of_the_users_own_may_import_its_neighbours_at_any_time(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_mine.py").write_text("ROWS = [5.0]\n")
    (tmp_path / "mine.py").write_text("def load():\n    from neighbour_of_mine import ROWS\n    return {'x': ROWS}\n")
    spec = parse_data({"source": {"python": "mine.py:load"}, "inputs": {"x": []}})
    assert whole(load_data(spec, Context(tmp_path, 1)).splits["train"]).inputs["x"].tolist() == [5.0]
    assert str(tmp_path) not in sys.path


def test_a_file_of_the_users_own_may_hold_dataclasses_and_change(tmp_path: Path) -> None:
    spec = parse_data({"source": {"python": "mine.py:load"}, "inputs": {"x": []}})
    for value in (1.0, 23.0):
        (tmp_path / "mine.py").write_text(
            "from __future__ import annotations\nfrom dataclasses import dataclass\n"
            "@dataclass\nclass Row:\n    x: float\n"
            f"def load():\n    return {{'x': [Row({value}).x]}}\n"
        )
        assert whole(load_data(spec, Context(tmp_path, 1)).splits["train"]).inputs["x"].tolist() == [value]


@pytest.mark.parametrize("nested", [False, True])
def test_a_function_of_the_users_own_gives_columns(nested: bool, tmp_path: Path) -> None:
    body = "{'train': {'x': [[1.0], [2.0]]}, 'test': {'x': [[3.0]]}}" if nested else "{'x': [[1.0], [2.0]]}"
    (tmp_path / "mine.py").write_text(f"def load(folder):\n    assert folder.is_dir()\n    return {body}\n")
    data = load_data(parse_data({"source": {"python": "mine.py:load"}, "inputs": {"x": []}}), Context(tmp_path, 1))
    assert whole(data.splits["train"]).inputs["x"].tolist() == [[1.0], [2.0]]
    assert set(data.splits) == ({"train", "test"} if nested else {"train"})


def test_csv_settings(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("1;caf\xe9\n2;th\xe9\n".encode("latin-1"))
    source = {"csv": {"path": "t.csv", "delimiter": ";", "encoding": "latin-1", "names": ["n", "drink"]}}
    table = SOURCES.parse(source).load(Context(tmp_path, 1))["train"]
    assert table.array("n").tolist() == [1, 2]
    assert table.array("drink").tolist() == ["café", "thé"]


def test_csv_types_and_the_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfi,f,g,t\r\n1,1.5,,NA\r\n-2,2,3,\r\n")
    table = SOURCES.parse({"csv": "t.csv"}).load(Context(tmp_path, 1))["train"]
    assert [table[name].dtype.name for name in table] == ["int64", "float64", "float64", "object"]
    assert table.array("t").tolist() == ["NA", ""]
    assert np.isnan(table.array("g")[0])


@pytest.mark.parametrize("source", [{"csv": "data/t.csv"}, {"npz": {"path": "data/t.npz", "test": "/abs/u.npz"}},
                                    {"python": "data/code.py:load"}])  # fmt: skip
def test_paths_are_rebased(source: Any) -> None:
    spec = parse_data({"source": source, "inputs": {"x": []}})
    moved = spec.rebased(Path("/a/configs"), Path("/a/runs/one"))
    old = [path.resolve() for path in spec.source.data_files(Context(Path("/a/configs"), 1))]
    new = [path.resolve() for path in moved.source.data_files(Context(Path("/a/runs/one"), 1))]
    assert old == new
    assert parse_data(moved.dump()) == moved


def test_paths_are_rebased_over_linked_folders(tmp_path: Path) -> None:
    for folder in ("project/data", "big/disk/runs/one"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "project/data/t.csv").write_text("x\n1\n")
    (tmp_path / "project/runs").symlink_to(tmp_path / "big/disk/runs")
    spec = parse_data({"source": {"csv": "data/t.csv"}, "inputs": {"x": []}})
    run = tmp_path / "project/runs/one"
    moved = spec.rebased(tmp_path / "project", run)
    assert load_data(moved, Context(run, 1)).splits["train"].rows == 1


def test_later_numbers_come_in_the_training_rows_type(tmp_path: Path) -> None:
    x = {"x": {"path": "t.npz", "test": "later.npz"}}
    np.savez(tmp_path / "t.npz", x=np.array([1.5, 2.0]), y=np.array([0, 1]), z=np.array([4, 6]))
    np.savez(tmp_path / "later.npz", x=np.array([1, 2]), y=np.array([1.0, 0.0]), z=np.array([5.0, np.nan]))
    section = {"inputs": {"x": [], "z": {"impute": "most_frequent"}}, "targets": {"y": []}}
    data = load_data(parse_data({"source": {"npz": x["x"]}, **section}), Context(tmp_path, 1))
    for split in map(whole, data.splits.values()):
        kinds = {name: values.dtype.name for name, values in {**split.inputs, **split.targets}.items()}
        assert kinds == {"x": "float32", "y": "int64", "z": "int64"}
    assert whole(data.splits["test"]).inputs["z"].tolist() == [5, 4]


def test_an_imputed_mean_is_no_whole_number(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.array([1, 2]))
    np.savez(tmp_path / "later.npz", x=np.array([5.0, np.nan]))
    source = {"npz": {"path": "t.npz", "test": "later.npz"}}
    spec = parse_data({"source": source, "inputs": {"x": {"impute": "mean"}}})
    data = load_data(spec, Context(tmp_path, 1))
    assert data.facts.inputs["x"].dtype == "float32"
    assert whole(data.splits["train"]).inputs["x"].dtype == np.float32
    assert whole(data.splits["test"]).inputs["x"].tolist() == [5.0, 1.5]


def test_parquet_columns_are_read_when_they_are_used(tmp_path: Path) -> None:
    columns = {
        "x": [True, None, False],
        "n": [3, None, 2**53],
        "when": pyarrow.array([1, 2, 3], pyarrow.duration("ms")),
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    table = SOURCES.parse({"parquet": "t.parquet"}).load(Context(tmp_path, 1))["train"]
    np.testing.assert_array_equal(table["x"], [1.0, np.nan, 0.0])
    np.testing.assert_array_equal(table["n"], [3.0, np.nan, 2.0**53])
    assert list(table) == ["x", "n", "when"]
    with pytest.raises(DataError, match=r"'when' holds duration\[ms\]; expected numbers or text"):
        table.column("when")


def test_a_lone_array_that_is_not_as_it_says_is_refused(tmp_path: Path) -> None:
    spec = parse_data({"source": {"npz": "t.npz"}, "inputs": {"x": []}})
    np.save(tmp_path / "raw.npy", np.zeros(5))
    whole = (tmp_path / "raw.npy").read_bytes()
    (tmp_path / "raw.npy").write_bytes(whole[:-1])
    with pytest.raises(FileRefused, match=r"'raw.npy' declares 40 bytes of data \(shape \(5,\)\) but has 39"):
        raw(spec, Path("raw.npy"), Context(tmp_path, 1))
    (tmp_path / "raw.npy").write_bytes(whole.replace(b"(5,), }", b"(-5,),}"))
    with pytest.raises(FileRefused, match="a negative size"):
        raw(spec, Path("raw.npy"), Context(tmp_path, 1))


def test_raw_text_is_read_as_the_runs_own_source_reads_it(tmp_path: Path) -> None:
    (tmp_path / "raw.csv").write_text("1;2\n")
    source = {"csv": {"path": "t.csv", "delimiter": ";", "names": ["x", "y"]}}
    spec = parse_data({"source": source, "inputs": {"x": []}})
    assert raw(spec, Path("raw.csv"), Context(tmp_path, 1)).array("y").tolist() == [2]


@pytest.mark.parametrize(
    "section", [PENGUINS, {"source": "mnist", "inputs": {"x": {"reshape": [784]}}, "targets": {"y": "to_categorical"}}]
)
def test_a_section_reads_back_what_it_writes(section: dict[str, Any]) -> None:
    spec = parse_data(section)
    assert parse_data(json.loads(json.dumps(spec.dump()))) == spec


@pytest.mark.parametrize("content", [b"{", b'{"a": 1, "a": 2}', b'{"a": NaN}', b"[" * 100, b"[1]"])
def test_damaged_learned_facts_are_refused(content: bytes) -> None:
    files = save_learned({})
    with pytest.raises(FileRefused):
        load_learned({**files, "preprocessing.json": content})


def test_learned_facts_of_another_make_are_refused() -> None:
    spec, _ = penguins()
    for content in (b"{}", b'{"columns": {"a": {}}}', b'{"columns": {"a": {"shape": [], "classes": null, "odd": 1}}}',
                    b'{"columns": {"a": {"shape": [], "classes": null, "dtype": "odd"}}}'):  # fmt: skip
        learned = load_learned({**save_learned({}), "preprocessing.json": content})
        with pytest.raises(FileRefused, match="is not what kerascli writes there"):
            stages(spec, learned)


@pytest.mark.parametrize("columns", [["a"], ["a", "b"], "a"], ids=str)
def test_a_shared_normalization_learns_from_windows_and_from_what_follows_them(columns: Any, tmp_path: Path) -> None:
    values = np.random.default_rng(2).normal(3, 2, (12, 2))
    np.savez(tmp_path / "s.npz", a=values[:, 0], b=values[:, 1])
    names = [f"{name}_next" for name in columns] if isinstance(columns, list) else "a_next"
    spec = parse_data(
        {
            "source": {"timeseries": {"source": {"npz": {"path": "s.npz"}}, "sequence_length": 3}},
            "shared": {"scale": "normalization"},
            "inputs": {"past": [{"columns": columns}, "scale"]},
            "targets": {"then": [{"columns": names}, "scale"]},
        }
    )
    data = load_data(spec, Context(tmp_path, 0))
    width = len(columns) if isinstance(columns, list) else 1
    windows = np.array([values[i : i + 3, :width] for i in range(9)])
    everything = np.concatenate([windows.reshape(-1, width), values[3:, :width]])
    expected = (values[3:, :width] - everything.mean(0)) / everything.std(0)
    found = data.target_stage({"then": torch.tensor(whole(data.splits["train"]).targets["then"])})["then"].numpy()
    np.testing.assert_allclose(found.reshape(9, width), expected, rtol=1e-5)
