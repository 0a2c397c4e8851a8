"""Data at addresses is that of the files there: copied once, verified, without credentials in configs or messages."""

import hashlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from kerascli.data.base import SOURCES, Context
from kerascli.data.remote.addresses import address_fault
from kerascli.data.storage.table import Table
from kerascli.foundation.errors import ConfigError, DataError, DataMissing, Fault, KerasCliError
from kerascli.language.component import Invalid
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from tests.support.buckets import KEYS, MOTO, GoogleServer, Proxy, empty_bucket, s3_server, upload
from tests.support.needs import needs
from tests.support.processes import forked_kerascli
from tests.support.runs_harness import go_on, outcome, train, write
from tests.support.server import Server

needs_moto = needs(MOTO, "needs a server of S3: pip install -e '.[test_servers]'")
CSV = b"a,b\n" + b"".join(b"%d,%d\n" % (row, row % 3) for row in range(100))
SHA256 = hashlib.sha256(CSV).hexdigest()
CONFIG = """
seed: 5
data: {source: SOURCE, inputs: {x: [{columns: [a]}, normalization]}, targets: {b: []}}
model: {layers: [{dense: 2}, {dense: {units: 1, name: b}}]}
compile: {loss: mse, optimizer: sgd}
fit: {epochs: 1, batch_size: 32}
"""


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a server with the empty bucket `bucket`, which the environment names, too."""
    empty_bucket(s3)
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": s3}.items():
        monkeypatch.setenv(name, value)
    return s3


def write_parts(folder: Path, parts: int = 6) -> Path:
    for part in range(parts):
        (folder / f"day={part}").mkdir(parents=True)
        values = np.arange(3000.0) + 10 * part
        parquet.write_table(pa.table({"a": values, "b": values % 7}), folder / f"day={part}/p.parquet")
    return folder


def read(folder: Path, source: Any) -> Table:
    return SOURCES.parse(source).load(Context(folder, 1))["train"]


def refused(source: Any) -> list[Fault]:
    with pytest.raises(Invalid) as caught:
        SOURCES.parse(source)
    return list(caught.value.faults)


def copies(tmp_path: Path) -> list[Path]:
    return sorted(path for path in (tmp_path / "cache/kerascli/copies").rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("address", "wrong"),
    [
        ("s3://key:s3cret@bucket/x", "holds a user and a password"),
        ("s3://key@bucket/x", "holds a user"),
        ("https://h/x?X-Amz-Signature=s3cret&v=1", "holds credentials (X-Amz-Signature=...)"),
        ("https://h/x?sv=1&sig=s3cret", "holds credentials (sig=...)"),
        ("https://h/x?access_token=s3cret", "holds credentials (access_token=...)"),
        ("https://h/x?X-Goog-Credential=s3cret", "holds credentials (X-Goog-Credential=...)"),
        ("https://h/x?AWSAccessKeyId=s3cret", "holds credentials (AWSAccessKeyId=...)"),
        ("ftp://u:s3cret@h/x", "expected a path or s3://, gs:// or https://, got ftp://..."),
        ("http://h/x", "expected a path or s3://, gs:// or https://, got http://..."),
        ("s3://bucket/design=1/user=7/x.csv", None), ("https://h/x?v=1", None), ("a/b.csv", None),
        ("https://h/x?sig=$env.SIG", None), ("s3://$env.BUCKET/x", None), ("https://$env.USER:$env.PW@h/x", None),
    ],
)  # fmt: skip
def test_addresses_with_credentials_are_refused_by_name(address: str, wrong: str | None) -> None:
    found = address_fault(address, ("s3", "gs", "https"))
    assert (found is None) == (wrong is None)
    assert wrong is None or (found or "").endswith(wrong)


def command(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return forked_kerascli(*map(str, arguments), cwd=Path.cwd(), **environ)


def test_credentials_are_not_even_quoted(tmp_path: Path) -> None:
    source = '{csv: {path: "https://me:s3cret@h/x.csv?sig=s3cret"}}'
    config = write(tmp_path, CONFIG.replace("SOURCE", source))
    done = command("validate", config)
    assert (done.returncode, "s3cret" in done.stdout + done.stderr) == (2, False)
    assert "path: the address holds a user and a password" in done.stderr
    assert "hint: credentials come from the environment: AWS_*" in done.stderr


@pytest.mark.parametrize("key", ["dtypes: {a: $env.SECRET}", "delimiter: $env.SECRET"])
def test_environment_variables_stand_for_addresses_and_paths_alone(key: str, tmp_path: Path) -> None:
    config = write(tmp_path, CONFIG.replace("SOURCE", f"{{csv: {{path: t.csv, {key}}}}}"))
    done = command("validate", config, SECRET=";")
    assert done.returncode == 2
    assert "$env.NAME stands for an environment variable in 'path' and 'url' of a data source alone" in done.stderr


def test_an_environment_variable_is_neither_written_nor_printed(tmp_path: Path) -> None:
    folder = tmp_path / "s3cret-folder"
    folder.mkdir()
    (folder / "s3cret-t.csv").write_bytes(CSV)
    config = write(tmp_path, CONFIG.replace("SOURCE", "{csv: {path: $env.FOLDER/$env.FILE}}"))
    environ = {"FOLDER": str(folder), "FILE": "s3cret-t.csv"}
    done = command("train", config, "--runs-dir", tmp_path / "runs", "--verbose", **environ)
    assert done.returncode == 0, done.stderr
    again = command("train", "--resume", "latest", "--runs-dir", tmp_path / "runs", "--set", "fit.epochs=2", **environ)
    assert again.returncode == 0, again.stderr
    shown = command("evaluate", "latest", "train", "--runs-dir", tmp_path / "runs", **environ)
    assert shown.returncode == 0, shown.stderr
    (folder / "s3cret-t.csv").write_bytes(b"a,b\n1,2,3\n")
    bad = command("evaluate", "latest", "train", "--runs-dir", tmp_path / "runs", **environ)
    (folder / "s3cret-t.csv").unlink()
    absent = command("evaluate", "latest", "train", "--runs-dir", tmp_path / "runs", **environ)
    unset = command("evaluate", "latest", "train", "--runs-dir", tmp_path / "runs", FILE="")
    assert [run.returncode for run in (bad, absent, unset)] == [3, 3, 2]
    assert "$env.FOLDER/$env.FILE:2: error: 3 fields" in bad.stderr
    assert "the environment variable" in unset.stderr
    printed = "".join(run.stdout + run.stderr for run in (done, again, shown, bad, absent, unset))
    written = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert len(written) > 8
    assert "s3cret" not in printed
    assert not [path for path in written if b"s3cret" in path.read_bytes()]


def test_a_path_of_an_environment_variable_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "here.csv")
    with pytest.raises(ConfigError, match=r"'\$env.PLACE': expected an address or an absolute path"):
        read(tmp_path, {"csv": "$env.PLACE"})


class TestHttps:
    def test_a_file_is_downloaded_once_and_its_digest_is_that_of_the_config(
        self, server: Server, tmp_path: Path
    ) -> None:
        server.files["t.csv"] = CSV
        source = {"csv": {"path": "https://example.org/t.csv?v=1", "sha256": SHA256.upper()}}
        server.files["t.csv?v=1"] = CSV
        assert read(tmp_path, source).rows == read(tmp_path, source).rows == 100
        assert server.asked == ["/t.csv?v=1"]
        assert SOURCES.parse(source).digests(Context(tmp_path, 1)) == {"t.csv": SHA256}
        assert str(read(tmp_path, source).place(0, "a")) == "https://example.org/t.csv?v=1:2:a"

    def test_another_digest_an_absent_file_and_a_lost_connection_leave_nothing(
        self, server: Server, tmp_path: Path
    ) -> None:
        server.files["t.csv"] = CSV
        with pytest.raises(DataError, match=f"cannot download .*t.csv: its SHA-256 is {SHA256}, expected 0000"):
            read(tmp_path, {"csv": {"path": "https://example.org/t.csv", "sha256": "0" * 64}})
        with pytest.raises(DataError, match="the server says 404"):
            read(tmp_path, {"csv": {"path": "https://example.org/u.csv", "sha256": "0" * 64}})
        server.cut = 10
        with pytest.raises(
            DataError, match=rf"the connection ended after {len(CSV) - 10} of {len(CSV)} bytes|Incomplete"
        ):
            read(tmp_path, {"csv": {"path": "https://example.org/t.csv", "sha256": SHA256}})
        assert not copies(tmp_path)

    def test_the_digest_is_required(self) -> None:
        [fault] = refused({"csv": "https://example.org/t.csv"})
        assert (fault.text, fault.path) == ("path: a file at https:// needs its SHA-256", ("csv",))
        [fault] = refused({"csv": {"path": "t.csv", "test": "https://example.org/t.csv"}})
        assert fault.hint == "write test: ADDRESS#sha256=..."
        [fault] = refused({"csv": {"path": "t.csv", "sha256": SHA256}})
        assert fault.text == "sha256: only of a file at https://"

    def test_new_rows_may_be_an_address_with_its_digest(self, server: Server, tmp_path: Path) -> None:
        server.files["t.csv"] = CSV
        (tmp_path / "t.csv").write_bytes(CSV)
        record, _ = train(write(tmp_path, CONFIG.replace("SOURCE", "{csv: t.csv}")), tmp_path / "runs")
        run = open_run(record)
        there = predict_run(run, f"https://example.org/t.csv#sha256={SHA256}").outputs
        here = predict_run(run, str(tmp_path / "t.csv")).outputs
        np.testing.assert_array_equal(there["b"], here["b"])
        with pytest.raises(ConfigError, match="needs its SHA-256"):
            predict_run(run, "https://example.org/t.csv")
        with pytest.raises(ConfigError, match="the address holds a user and a password"):
            predict_run(run, "s3://a:b@c/t.csv")


@needs_moto
class TestS3:
    def test_a_prefix_is_the_same_table_as_a_folder(self, bucket: str, tmp_path: Path) -> None:
        write_parts(tmp_path / "sales")
        upload(bucket, tmp_path / "sales", "pre/sales")
        here, there = read(tmp_path, {"parquet": "sales"}), read(tmp_path, {"parquet": "s3://bucket/pre/sales"})
        assert list(here) == list(there) == ["a", "b", "day"]
        for name in here:
            np.testing.assert_array_equal(here.array(name), there.array(name))
        assert str(there.place(3000, "b")) == "s3://bucket/pre/sales/day=1/p.parquet:1:b"
        digests = [
            SOURCES.parse({"parquet": path}).digests(Context(tmp_path, 1))
            for path in ("sales", "s3://bucket/pre/sales/")
        ]
        assert digests[0] == digests[1]

    def test_files_are_copied_once_and_again_if_they_change(self, bucket: str, tmp_path: Path) -> None:
        upload(bucket, CSV, "t.csv")
        config = write(tmp_path, CONFIG.replace("SOURCE", '{csv: "s3://bucket/t.csv"}'))
        record, _ = train(config, tmp_path / "runs")
        before = copies(tmp_path)[0].stat()
        go_on(record, ["fit.epochs=2"])
        [copy] = copies(tmp_path)
        assert copy.stat().st_ino == before.st_ino
        time.sleep(1.1)  # S3 keeps seconds
        empty_bucket(bucket)
        upload(bucket, CSV.replace(b"99", b"98"), "t.csv")
        with pytest.raises(DataError, match=r"the data has changed since the run began: t\.csv"):
            go_on(record, ["fit.epochs=3"])
        assert [path.read_bytes() for path in copies(tmp_path)] == [CSV.replace(b"99", b"98")]

    def test_what_is_not_there_or_not_allowed_is_told(self, bucket: str, tmp_path: Path) -> None:
        upload(bucket, CSV, "folder/t.csv")
        upload(bucket, b"PAR1" + bytes(100), "damaged.parquet")
        with pytest.raises(DataMissing, match="there is nothing at 's3://bucket/none'"):
            read(tmp_path, {"parquet": "s3://bucket/none"})
        with pytest.raises(DataMissing, match="there is nothing at 's3://no-bucket/none'"):
            read(tmp_path, {"parquet": "s3://no-bucket/none"})
        with pytest.raises(DataError, match="this is a folder; the source reads one file"):
            read(tmp_path, {"csv": "s3://bucket/folder"})
        with pytest.raises(DataError, match="expected files of Parquet alone"):
            read(tmp_path, {"parquet": "s3://bucket/folder"})
        with pytest.raises(KerasCliError, match=r"'s3://bucket/damaged\.parquet' is damaged"):
            read(tmp_path, {"parquet": "s3://bucket/damaged.parquet"})

    def test_a_server_that_does_not_answer_is_told_soon(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "BUCKET": "s3cret"}.items():
            monkeypatch.setenv(name, value)
        began = time.monotonic()
        with pytest.raises(DataError, match="cannot read 's3://") as caught:
            read(tmp_path, {"parquet": "s3://$env.BUCKET/x"})
        assert time.monotonic() - began < 60
        assert "s3cret" not in caught.value.faults[0].text
        assert "in bucket '$env.BUCKET'" in caught.value.faults[0].text

    def test_a_copy_that_was_cut_goes_on_with_the_files_that_are_missing(
        self, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_parts(tmp_path / "sales")
        upload(bucket, tmp_path / "sales", "sales")
        size = (tmp_path / "sales/day=0/p.parquet").stat().st_size
        proxy = Proxy(bucket, 3 * size)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        with pytest.raises(DataError, match=r"cannot read 's3://bucket/sales/day=\d/p.parquet'|ended after"):
            read(tmp_path, {"parquet": "s3://bucket/sales"})
        first = copies(tmp_path)
        assert 0 < len(first) < 6
        times = {path: path.stat().st_ino for path in first}
        proxy.left = 2**40
        there = read(tmp_path, {"parquet": "s3://bucket/sales"})
        proxy.close()
        assert len(copies(tmp_path)) == 6
        assert {path: path.stat().st_ino for path in first} == times
        np.testing.assert_array_equal(there.array("a"), read(tmp_path, {"parquet": "sales"}).array("a"))

    def test_a_training_from_a_bucket_is_that_from_a_folder(self, bucket: str, tmp_path: Path) -> None:
        write_parts(tmp_path / "sales", 2)
        upload(bucket, tmp_path / "sales", "sales")
        here, _ = train(write(tmp_path, CONFIG.replace("SOURCE", "{parquet: sales}")), tmp_path / "here")
        there, _ = train(
            write(tmp_path, CONFIG.replace("SOURCE", '{parquet: "s3://bucket/sales"}')), tmp_path / "there"
        )
        assert outcome(here) == outcome(there)
        assert here.facts()["data"] == there.facts()["data"]
        new = predict_run(open_run(here), "s3://bucket/sales/day=1").outputs
        np.testing.assert_array_equal(new["b"], predict_run(open_run(here), str(tmp_path / "sales/day=1")).outputs["b"])


def test_google_cloud_storage_is_read_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_parts(tmp_path / "sales", 2)
    keys = {f"sales/day={day}/p.parquet": tmp_path / f"sales/day={day}/p.parquet" for day in range(2)}
    google = GoogleServer({"t.csv": CSV, **{key: path.read_bytes() for key, path in keys.items()}})
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", google.url)
    here, there = (read(tmp_path, {"parquet": path}) for path in ("sales", "gs://bucket/sales"))
    for name in here:
        np.testing.assert_array_equal(here.array(name), there.array(name))
    assert read(tmp_path, {"csv": "gs://bucket/t.csv"}).rows == 100
    with pytest.raises(DataMissing, match="there is nothing at 'gs://bucket/none'"):
        read(tmp_path, {"csv": "gs://bucket/none"})
    google.close()
