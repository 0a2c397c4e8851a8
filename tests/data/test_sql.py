"""The source `sql`: rows with the types of the database, frozen for a run, and errors in the database's own words."""

import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerascli.data.base import SOURCES, Context
from kerascli.data.remote import frozen
from kerascli.data.sources import sql
from kerascli.data.storage.table import Table
from kerascli.foundation.errors import ConfigError, DataError, DataMissing
from kerascli.language.component import Invalid
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from tests.support.buckets import free_port
from tests.support.needs import library, needs
from tests.support.runs_harness import go_on, outcome, train, write

CONFIG = """
seed: 5
data:
  source: {sql: {url: "sqlite:///x.db", query: "select a, b, y from t order by a"}}
  split: {test: 0.2}
  inputs: {x: [{columns: [a, b]}, {impute: mean}, normalization]}
  targets: {y: []}
model: {layers: [{dense: 4}, {dense: {units: 1, name: y}}]}
compile: {loss: mse, optimizer: {adam: 0.01}}
fit: {epochs: 2, batch_size: 16}
"""


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def database(folder: Path, columns: dict[str, Sequence[Any]], name: str = "x.db") -> None:
    with closing(sqlite3.connect(folder / name)) as connection:
        connection.execute("drop table if exists t")
        connection.execute("create table t ({})".format(", ".join(f'"{name}"' for name in columns)))
        marks = ", ".join("?" * len(columns))
        connection.executemany(f"insert into t values ({marks})", list(zip(*columns.values(), strict=True)))
        connection.commit()


def numbers(folder: Path, first: float = 0.0) -> None:
    values = np.arange(100.0)
    database(folder, {"a": range(100), "b": [None, *values[1:]], "y": (values * 0.1 + first).tolist()})


def read(folder: Path, query: str, url: str = "sqlite:///x.db") -> Table:
    return SOURCES.parse({"sql": {"url": url, "query": query}}).load(Context(folder, 1))["train"]


@pytest.mark.parametrize("rows", [frozen.FROZEN_ROWS, 7])
def test_columns_have_the_types_of_the_values(rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "FROZEN_ROWS", rows)  # a later block widens the types of the first
    count = 20
    database(tmp_path, {
        "whole": [2**62 + row for row in range(count)], "gaps": [1, None, *range(count - 2)],
        "fractions": [0.5, *range(count - 1)], "words": ["007", None, *["x"] * (count - 2)],
        "mixed": [*range(count - 1), "x"], "large": [*[2**60 + 1] * (count - 1), None],
        "large_and_fraction": [*[2**60 + 1] * (count - 1), 0.5], "nothing": [None] * count,
        "day": ["2026-01-02"] * count, "late": [*[None] * (count - 1), 5],
    })  # fmt: skip
    table = read(tmp_path, "select * from t")
    assert table.array("whole").tolist() == [2**62 + row for row in range(count)]
    assert table.array("whole").dtype == np.int64
    np.testing.assert_array_equal(table.array("gaps")[:3], [1, np.nan, 0])
    assert table.array("fractions").tolist() == [0.5, *map(float, range(count - 1))]
    assert table.array("words").tolist() == ["007", "", *["x"] * (count - 2)]
    assert table.array("mixed").tolist() == [*map(str, range(count - 1)), "x"]
    assert table.array("large").tolist() == [*[str(2**60 + 1)] * (count - 1), ""]
    assert table.array("large_and_fraction").tolist() == [*[str(2**60 + 1)] * (count - 1), "0.5"]
    assert np.isnan(table.array("nothing")).all()
    assert set(table.array("day")) == {"2026-01-02"}
    assert table.array("late")[-1] == 5
    assert str(table.place(3, "words")) == "sqlite:///x.db:4:words"


def test_full_text_tables_are_read(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        connection.execute("create virtual table notes using fts5(body)")
        connection.executemany("insert into notes values (?)", [("one",), ("three",)])
        connection.commit()
    query = "select rowid as id, length(body) as n from notes where notes match 'one OR three' order by rowid"
    assert read(tmp_path, query).array("n").tolist() == [3, 5]


@pytest.mark.parametrize("home", ["~", "$HOME", "${HOME}"])
def test_a_file_in_the_home_folder_is_recorded_by_its_path(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "ann"))
    (tmp_path / "ann").mkdir()
    numbers(tmp_path / "ann")
    folder = tmp_path / "work"
    folder.mkdir()
    run, _ = train(write(folder, CONFIG.replace("sqlite:///x.db", f"sqlite:///{home}/x.db")), folder / "runs")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    again, _ = train(run.path / "resolved.yaml", tmp_path / "again")  # asks the database
    assert outcome(again) == outcome(run)


def test_queries_may_give_the_other_splits(tmp_path: Path) -> None:
    numbers(tmp_path)
    queries = {"query": "select a from t where a < 60", "test": "select a from t where a >= 60"}
    source = SOURCES.parse({"sql": {"url": "sqlite:///x.db", **queries}})
    context = Context(tmp_path, 1)
    assert {split: table.rows for split, table in source.load(context).items()} == {"train": 60, "test": 40}
    assert list(source.digests(context)) == ["sql train", "sql test"]


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("select a from nope", "sqlite:///x.db: error: the database says: no such table: nope"),
        ("selec a", 'sqlite:///x.db: error: the database says: near "selec": syntax error'),
        ("select a from t where a > 1000", "sqlite:///x.db: error: the query returns no rows"),
        ("select a, b as a from t", "sqlite:///x.db: error: column 'a' appears twice"),
        ("select a, x'00' as b from t", "sqlite:///x.db:1:b: error: holds bytes (BLOB); expected numbers or text"),
        ("select x'00' as '{b}' from t", "sqlite:///x.db:1:{b}: error: holds bytes (BLOB); expected numbers or text"),
        ("select a from t; delete from t", "sqlite:///x.db: error: the database says: You can only execute"),
        ("delete from t", "sqlite:///x.db: error: the database says: not authorized"),
        ("attach 'y.db' as y", "sqlite:///x.db: error: the database says: not authorized"),
        ("pragma journal_mode = wal", "sqlite:///x.db: error: the database says: not authorized"),
        ("create temp table u (a)", "sqlite:///x.db: error: the database says: not authorized"),
    ],
)  # fmt: skip
def test_errors_are_the_database_s_own(query: str, text: str, tmp_path: Path) -> None:
    numbers(tmp_path)
    before = (tmp_path / "x.db").read_bytes()
    with pytest.raises(DataError) as caught:
        read(tmp_path, query)
    assert caught.value.faults[0].lines()[0].startswith(text)
    assert (tmp_path / "x.db").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "x.db"]


def test_files_that_are_no_database_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=r"no such file 'sqlite:///x\.db'"):
        read(tmp_path, "select 1 as a")
    (tmp_path / "x.db").write_bytes(b"a,b\n1,2\n" * 200)
    with pytest.raises(DataError, match="the database says: file is not a database"):
        read(tmp_path, "select a from t")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="is a folder, not a file"):
        read(tmp_path, "select a from t", "sqlite:///folder")


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("x.db", "url: expected sqlite:///FILE or postgresql://HOST/DATABASE"),
        ("sqlite://x.db", "url: expected sqlite:///FILE or postgresql://HOST/DATABASE"),
        ("mysql://h/d", "url: expected a path or sqlite:// or postgresql://, got mysql://..."),
        ("postgresql://me:s3cret@h/d", "url: the address holds a user and a password"),
        ("postgresql://h/d?password=s3cret", "url: the address holds credentials (password=...)"),
    ],
)
def test_addresses_are_checked(url: str, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        SOURCES.parse({"sql": {"url": url, "query": "select 1 as a"}})
    assert [fault.text for fault in caught.value.faults] == [text]


def test_an_address_of_the_environment_is_checked_when_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers(tmp_path)
    monkeypatch.setenv("DATABASE", f"sqlite:///{tmp_path / 'x.db'}")
    table = read(tmp_path, "select a from t", "$env.DATABASE")
    assert (table.rows, str(table.place(0, "a"))) == (100, "$env.DATABASE:1:a")
    monkeypatch.setenv("DATABASE", "s3cret")
    with pytest.raises(ConfigError, match=r"'\$env\.DATABASE': expected sqlite:///FILE") as caught:
        read(tmp_path, "select a from t", "$env.DATABASE")
    assert "s3cret" not in str(caught.value)


class TestFrozenRows:
    def test_are_those_of_the_run_until_a_new_one(self, tmp_path: Path) -> None:
        numbers(tmp_path)
        config = write(tmp_path, CONFIG)
        calm, _ = train(config, tmp_path / "calm", ["fit.epochs=4"])
        record, _ = train(config, tmp_path / "runs")
        numbers(tmp_path, first=1.0)
        go_on(record, ["fit.epochs=4"])
        assert outcome(record) == outcome(calm)
        run = open_run(record)
        predict_run(run, "test")
        assert not run.warnings
        (tmp_path / "x.db").unlink()
        go_on(record, ["fit.epochs=5"])  # no database is needed
        numbers(tmp_path, first=1.0)
        new, _ = train(config, tmp_path / "new")
        assert new.facts()["data"] != record.facts()["data"]

    def test_that_are_gone_are_frozen_again_and_others_refused(self, tmp_path: Path) -> None:
        numbers(tmp_path)
        record, _ = train(write(tmp_path, CONFIG), tmp_path / "runs")
        shutil.rmtree(tmp_path / "cache/kerascli/frozen")
        go_on(record, ["fit.epochs=3"])
        shutil.rmtree(tmp_path / "cache/kerascli/frozen")
        numbers(tmp_path, first=1.0)
        with pytest.raises(DataError, match="the data has changed since the run began: sql train"):
            go_on(record, ["fit.epochs=4"])

    def test_in_another_order_are_others(self, tmp_path: Path) -> None:
        numbers(tmp_path)
        digests = []
        for order in ("a", "a desc", "a"):
            source = SOURCES.parse({"sql": {"url": "sqlite:///x.db", "query": f"select a from t order by {order}"}})
            digests.append(source.digests(Context(tmp_path, 1))["sql train"])
        assert digests[0] == digests[2] != digests[1]

    def test_belong_to_the_database_and_the_query(self, tmp_path: Path) -> None:
        numbers(tmp_path)
        (tmp_path / "other").mkdir()
        numbers(tmp_path / "other", first=5.0)
        query = "select y from t order by a"
        sources = [
            SOURCES.parse({"sql": {"url": f"sqlite:///{name}", "query": query}}) for name in ("x.db", "other/x.db")
        ]
        recorded = {
            f"{number}": source.digests(Context(tmp_path, 1))["sql train"] for number, source in enumerate(sources)
        }
        tables = [source.load(Context(tmp_path, 1, recorded=recorded))["train"] for source in sources]
        assert [table.array("y")[0] for table in tables] == [0.0, 5.0]


BIN = next((str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"))[::-1]), None)
POSTGRES = shutil.which("initdb") or shutil.which("initdb", path=BIN or "")


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a server of PostgreSQL, and give its address; as another user than root, whom it refuses."""
    assert POSTGRES is not None
    folder = tmp_path_factory.mktemp("postgres")
    user: dict[str, Any] = {}
    if subprocess.run(["id", "-u"], capture_output=True, check=True).stdout == b"0\n":
        user = {"user": "postgres", "group": "postgres"}
        for each in (folder, *folder.parents[:3]):
            each.chmod(0o755)
        shutil.chown(folder, "postgres")
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **user}
    binaries, port = Path(POSTGRES).resolve().parent, free_port()
    subprocess.run([POSTGRES, "-D", folder / "data", "-U", "me", "--auth=trust", "--no-sync"], check=True, **quiet)
    settings = ["-c", "fsync=off", "-p", str(port), "-k", str(folder), "-h", "127.0.0.1"]
    server = subprocess.Popen([binaries / "postgres", "-D", folder / "data", *settings], **quiet)
    yield f"postgresql://127.0.0.1:{port}/postgres"
    server.terminate()
    server.wait()


@needs(POSTGRES, "needs PostgreSQL: apt-get install postgresql")
class TestPostgresql:
    @pytest.fixture(autouse=True)
    def _user(self, monkeypatch: pytest.MonkeyPatch) -> None:
        library("adbc_driver_postgresql")
        monkeypatch.setenv("PGUSER", "me")

    def test_columns_have_the_types_of_the_database(self, postgres: str, tmp_path: Path) -> None:
        query = (
            "select (i % 7)::int2 as small, i + 9007199254740993 as large, case when i > 1 then i end as gaps,"
            " 1.25::numeric as n, 1.5::float4 as f, i = 1 as truth, case when i > 1 then 'x' end as words,"
            " date '2026-01-02' as day,"
            " timestamptz '2026-01-02 03:04:05.5+02' as moment from generate_series(1, 200000) i order by i"
        )
        for _ in range(200):  # until the server answers
            try:
                table = read(tmp_path, query, postgres)
                break
            except DataError:
                time.sleep(0.1)
        else:
            pytest.fail("the server does not answer")
        assert table.rows == 200_000
        assert table.array("small")[:8].tolist() == [1, 2, 3, 4, 5, 6, 0, 1]
        assert table.array("large")[0] == 9007199254740994
        np.testing.assert_array_equal(table.array("gaps")[:2], [np.nan, 2])
        assert (table.array("n")[0], table.array("f")[0]) == (1.25, 1.5)
        assert table.array("truth")[:2].tolist() == [True, False]
        assert table.array("words")[:2].tolist() == ["", "x"]
        assert (table.array("day")[0], table.array("moment")[0]) == ("2026-01-02", "2026-01-02T01:04:05.5Z")

    @pytest.mark.parametrize(
        ("query", "text"),
        [
            ("select * from nope", 'relation "nope" does not exist'),
            ("create table u (a int)", "cannot execute CREATE TABLE in a read-only transaction"),
            ("select array[1] as a", "column 'a' holds list<item: int32>; expected numbers, text or times"),
            ("select 1 as a where false", "the query returns no rows"),
        ],
    )
    def test_errors_are_the_database_s_own(self, query: str, text: str, postgres: str, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=text.replace("(", r"\(")):
            read(tmp_path, query, postgres)

    def test_a_server_that_is_not_there_is_told_soon(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"the database says: .*Connection refused"):
            read(tmp_path, "select 1 as a", f"postgresql://127.0.0.1:{free_port()}/x")


def test_a_missing_driver_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", None)
    with pytest.raises(DataError, match="needs adbc-driver-postgresql") as caught:
        read(tmp_path, "select 1 as a", "postgresql://127.0.0.1/x")
    assert caught.value.faults[0].hint == 'pip install "kerascli[sql]"'
