"""Archives of runs: what comes back, what is never written, and hostile zip files, which are refused."""

import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kerascli.cli.commands import app
from kerascli.foundation import user_code
from kerascli.foundation.errors import ConfigError, FileRefused, KerasCliError, StorageError
from kerascli.runs import archives
from kerascli.runs.archives import open_archive, write_archive
from kerascli.runs.record import RunRecord
from tests.support.runs_harness import TWO_CLASSES, edit_facts, train, write

PLUGIN = """
from pathlib import Path
Path("RAN").touch()
"""
FUNCTION = """
from pathlib import Path
import numpy as np

def rows():
    Path("RAN").touch()
    x = np.linspace(-1, 1, 60, dtype="float32").reshape(20, 3)
    return {"x": x, "y": (x.sum(axis=1) > 0).astype("int64")}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("trained")
    record, _ = train(write(folder, TWO_CLASSES, "two.yaml"), folder / "runs")
    return record


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, with an empty folder for temporary files beside it."""
    folder, temporary = tmp_path / "here", tmp_path / "tmp"
    folder.mkdir()
    temporary.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    return folder


def invoke(*arguments: object) -> tuple[str, str]:
    """Return stdout and stderr of a successful command; otherwise raise its error."""
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result.stdout, result.stderr


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_run_comes_back_whole_and_the_temporary_folder_goes(trained: RunRecord, here: Path) -> None:
    out, err = invoke("runs", "archive", trained.path, "-o", "run.zip")
    assert (out, err.endswith("holds all files of the run\n")) == ("run.zip\n", True)
    with open_archive(Path("run.zip"), trusts_plugins=False) as run:
        assert run.folder_name == trained.folder_name
        assert contents(run.path) == contents(trained.path)
        assert run.path.is_relative_to(here.parent / "tmp")
        assert user_code.refusal is not None
    assert not any((here.parent / "tmp").iterdir())
    assert user_code.refusal is None


def test_an_archive_has_the_same_bytes_every_time_and_an_own_name(trained: RunRecord, here: Path) -> None:
    write_archive(trained, Path("one.zip"))
    os.utime(trained.path / "config.yaml")
    invoke("runs", "archive", trained.path)
    assert Path("one.zip").read_bytes() == Path(f"{trained.folder_name}.zip").read_bytes()


def test_commands_read_an_archive_as_the_folder_and_never_write_to_it(trained: RunRecord, here: Path) -> None:
    write_archive(trained, Path("run.zip"))
    before = Path("run.zip").read_bytes()
    for arguments in (["evaluate"], ["predict", "test"], ["summary"], ["summary", "--json"]):
        command, *rest = arguments
        out, err = invoke(command, "run.zip", *rest)
        assert out == invoke(command, trained.path, *rest)[0]
        kept = "run.zip is not written to: numbers and plots of this evaluation are not kept\n"
        assert err == (kept if command == "evaluate" else "")
    assert '"run": "run.zip"' in invoke("evaluate", "run.zip", "--json")[0]
    invoke("report", "run.zip", "-o", "one.html")
    invoke("report", "run.zip", trained.path)
    invoke("export", "run.zip", "-o", "model.safetensors")
    assert sorted(os.listdir()) == ["model.safetensors", "one.html", "report.html", "run.zip"]
    assert Path("run.zip").read_bytes() == before
    assert not any((here.parent / "tmp").iterdir())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["evaluate", "run.zip", "--threshold", "0.4", "--keep-threshold"],
            "--keep-threshold cannot write into an archive",
        ),
        (["plot", "run.zip"], "is an archive, which this command does not read"),
        (["train", "run.zip"], "is an archive, which this command does not read"),
        (["train", "--resume", "run.zip"], "is an archive, which this command does not read"),
        (["runs", "rm", "run.zip", "-y"], "is an archive, which this command does not read"),
        (["runs", "tag", "./run.zip", "good"], "is an archive, which this command does not read"),
        (["runs", "archive", "run.zip", "-o", "again.zip"], "is an archive, which this command does not read"),
    ],
)
def test_what_an_archive_cannot_do_is_an_error(trained: RunRecord, here: Path, arguments: list[str], text: str) -> None:
    write_archive(trained, Path("run.zip"))
    with pytest.raises(ConfigError) as error:
        invoke(*arguments)
    assert text in str(error.value)
    assert os.listdir() == ["run.zip"]
    assert not any((here.parent / "tmp").iterdir())


def test_code_of_an_archive_is_run_only_if_it_is_trusted(here: Path) -> None:
    Path("plugin.py").write_text(PLUGIN)
    config = write(Path(), TWO_CLASSES + "plugins: [plugin.py]\n", "plugin.yaml")
    record, _ = train(config, Path("runs"))
    write_archive(record, Path("run.zip"))
    shutil.rmtree("runs")
    Path("RAN").unlink()
    for command in (["evaluate"], ["predict", "test"], ["export", "-o", "model.keras"], ["summary", "--json"]):
        with pytest.raises(FileRefused, match=r"'plugin.py' is not run: 'run.zip' is an archive") as error:
            invoke(command[0], "run.zip", *command[1:])
        assert error.value.faults[0].hint == "--trust-plugins allows it, with all your rights"
        assert error.value.exit_code == 4
    for command in (["summary"], ["report", "-o", "run.html"]):  # these run nothing
        invoke(command[0], "run.zip", *command[1:])
    assert not Path("RAN").exists()
    invoke("summary", "run.zip", "--json", "--trust-plugins")


def archive_with(source: str, copy: Path) -> None:
    """Write an archive of a copied run, whose config names another source of data."""
    run = RunRecord(copy)
    text = run.resolved()
    start, end = text.index("    blobs:"), text.index("  split:")
    run.write_resolved(f"{text[:start]}    {source}\n{text[end:]}")
    edit_facts(copy, folder_name=copy.name)
    write_archive(run, Path("run.zip"))


def test_an_archive_sends_no_environment_variable_to_an_address(
    trained: RunRecord, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "secret")
    copy = Path(shutil.copytree(trained.path, "runs/evil"))
    archive_with(f"csv: {{path: 'https://localhost:1/$env.SECRET.csv', sha256: '{'0' * 64}'}}", copy)
    with pytest.raises(FileRefused, match=r"SECRET.csv#sha256=0+' is not read: 'run.zip' is an archive"):
        invoke("evaluate", "run.zip")


@pytest.mark.parametrize("inside", [True, False], ids=["in the archive", "of this machine"])
def test_an_archive_can_name_no_function_of_a_file(trained: RunRecord, here: Path, *, inside: bool) -> None:
    """A source of data may be a function of any Python file: of the archive, or of whoever reads it."""
    copy = Path(shutil.copytree(trained.path, "runs/evil"))
    code = copy / "logs" / "evil.py" if inside else here / "own.py"
    code.parent.mkdir(exist_ok=True)
    code.write_text(FUNCTION)
    name = "logs/evil.py" if inside else code
    archive_with(f"python: {{function: '{name}:rows'}}", copy)
    with pytest.raises(FileRefused, match=r"\.py' is not run: 'run.zip' is an archive"):
        invoke("evaluate", "run.zip")
    assert not Path("RAN").exists()


def member(name: str, data: bytes = b"x", mode: int = 0, **settings: int) -> Callable[[zipfile.ZipFile], None]:
    def add(archive: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        info.compress_type = settings.get("packing", zipfile.ZIP_STORED)
        archive.writestr(info, data)

    return add


def many(archive: zipfile.ZipFile) -> None:
    for number in range(10_000):
        archive.writestr(f"run/logs/{number}", b"")


@pytest.mark.parametrize(
    ("add", "text"),
    [
        (member("run/../../escaped"), "has a member 'run/../../escaped' that none of ours has"),
        (member("/tmp/escaped"), "that none of ours has"),
        (member("run/logs\\..\\escaped"), "that none of ours has"),
        (member("C:/escaped"), "that none of ours has"),
        (member("run/.hidden"), "that none of ours has"),
        (member("run/\x1b[2Jname"), r"has a member 'run/\x1b[2Jname' that none of ours has"),
        (member("run/" + "a/" * 20 + "b"), "that none of ours has"),
        (member("run/" + "n" * 300), "that none of ours has"),
        (member("run/link", b"/etc/passwd", stat.S_IFLNK | 0o777), "that none of ours has"),
        (member("run/pipe", b"", stat.S_IFIFO | 0o600), "that none of ours has"),
        (member("run/packed", packing=zipfile.ZIP_BZIP2), "that none of ours has"),
        (member("run/packed", packing=zipfile.ZIP_LZMA), "that none of ours has"),
        (member("other/run.json"), "is not the archive of one run"),
        (member("run.json/config.yaml"), "is not the archive of one run"),
        (member("run/run.json/x"), "has two members of one name"),
        (member("run/bomb", bytes(300 * 2**20), packing=zipfile.ZIP_DEFLATED), "the limit is 200 to 1"),
        (many, "the limits are 10,000 and 68,719,476,736"),
    ],
)  # fmt: skip
def test_hostile_archives_are_refused_before_anything_is_written(
    here: Path, add: Callable[[zipfile.ZipFile], None], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile("run.zip", "w") as archive:
        archive.writestr("run/run.json", b"{}")
        add(archive)
    monkeypatch.setattr(archives.storage, "write_bytes", lambda *_: pytest.fail("a member was written"))
    with pytest.raises(FileRefused) as error:
        invoke("evaluate", "run.zip")
    assert error.value.exit_code == 4
    assert text in "\n".join(error.value.faults[0].lines())
    assert not any((here.parent / "tmp").iterdir())


def test_a_second_member_of_a_name_an_encrypted_one_and_a_size_that_is_too_large_are_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile("two.zip", "w") as archive:
        archive.writestr("run/run.json", b"{}")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("run/run.json", b"[]")
    with zipfile.ZipFile("plain.zip", "w") as archive:
        archive.writestr("run/run.json", b"{}" * 100)
    data = bytearray(Path("plain.zip").read_bytes())
    for at in (6, data.index(b"PK\x01\x02") + 8):
        data[at] |= 1
    Path("encrypted.zip").write_bytes(data)
    monkeypatch.setattr(archives, "MAX_BYTES", 199)
    texts = {
        "two": "two members of one name",
        "encrypted": "the limits are",
        "plain": "has 1 members of 200 bytes; the l",
    }
    for name, text in texts.items():
        with pytest.raises(FileRefused, match=text):
            invoke("report", f"{name}.zip", "-o", "x.html")
    monkeypatch.setattr(archives, "MAX_BYTES", 200)
    with pytest.raises(FileRefused, match="that none of ours has"):
        invoke("report", "encrypted.zip", "-o", "x.html")


def test_no_damage_to_an_archive_ends_in_a_traceback(trained: RunRecord, here: Path) -> None:
    """Bytes are changed; what is read then is what was written, or refused."""
    size = write_archive(trained, Path("run.zip"))
    good, whole = Path("run.zip").read_bytes(), contents(trained.path)
    directory = good.index(b"PK\x01\x02")
    for at in [*range(0, directory, 401), *range(directory, size, 7)]:
        Path("bad.zip").write_bytes(good[:at] + bytes([good[at] ^ 255]) + good[at + 1 :])
        try:
            with open_archive(Path("bad.zip"), trusts_plugins=False) as run:
                files = contents(run.path)
                assert all(whole.get(name, data) == data for name, data in files.items())
        except (FileRefused, StorageError):
            pass
    for cut in range(0, size, 997):
        Path("bad.zip").write_bytes(good[:cut])
        with pytest.raises(FileRefused), open_archive(Path("bad.zip"), trusts_plugins=False):
            pass


def test_a_file_that_is_no_archive_of_a_run_is_refused(trained: RunRecord, here: Path) -> None:
    write_archive(trained, Path("run.zip"))
    with zipfile.ZipFile("nested.zip", "w") as archive:
        archive.write("run.zip")
    Path("text.zip").write_text("no zip file")
    for name, text in {"nested": "that none of ours has", "text": "'text.zip' is damaged, or no zip file"}.items():
        with pytest.raises(FileRefused, match=text):
            invoke("evaluate", f"{name}.zip")


def test_links_and_strange_names_are_not_archived_and_the_file_is_not_left(trained: RunRecord, here: Path) -> None:
    copy = RunRecord(Path(shutil.copytree(trained.path, "runs/copy")))
    link = copy.path / "logs" / "link"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to("/etc/passwd")
    with pytest.raises(FileRefused, match="is a link, which an archive cannot hold"):
        invoke("runs", "archive", copy.path, "-o", "run.zip")
    link.unlink()
    (copy.path / "a:b").touch()
    with pytest.raises(FileRefused, match="cannot be in an archive by this name"):
        invoke("runs", "archive", copy.path, "-o", "run.zip")
    (copy.path / "a:b").unlink()
    os.mkfifo(copy.path / "pipe")
    with pytest.raises(FileRefused, match="is not a regular file"):
        invoke("runs", "archive", copy.path, "-o", "run.zip")
    (copy.path / "pipe").unlink()
    assert os.listdir() == ["runs"]
    with copy.locked(), pytest.raises(StorageError, match="is in use by pid"):
        invoke("runs", "archive", copy.path, "-o", "run.zip")
    (copy.path / "run.json").unlink()
    with pytest.raises(KerasCliError):
        invoke("runs", "archive", copy.path, "-o", "run.zip")
    assert os.listdir() == ["runs"]


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("run.tar", "expected a file that ends in .zip, got 'run.tar'"),
        ("none/run.zip", "there is no folder 'none'"),
    ],
)
def test_an_archive_is_written_where_a_zip_file_may_be(trained: RunRecord, here: Path, output: str, text: str) -> None:
    with pytest.raises(KerasCliError) as error:
        invoke("runs", "archive", trained.path, "-o", output)
    assert text in str(error.value)
    with pytest.raises(ConfigError, match="is inside a run"):
        invoke("runs", "archive", trained.path, "-o", trained.path / "run.zip")
