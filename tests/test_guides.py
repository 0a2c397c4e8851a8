"""The guides are typed as they stand: each is a session of a new user, with no Python in it."""

import gzip
import importlib.util
import io
import re
import shutil
import tarfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from tests.support.guides import Command, File, Session, difference, like, steps

ROOT = Path(__file__).parent.parent
GUIDES = ROOT / "docs" / "guides"
DATA = GUIDES / "data"
PAGES = sorted(path for path in GUIDES.glob("*.md") if path.stem != "index")
BINARY = {".gz"}


def texts(page: Path) -> list[Command | File]:
    return list(steps(page.read_text(encoding="utf-8")))


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """A new folder with the data of the guides, as the index page makes it."""
    folder = tmp_path / "guide"
    shutil.copytree(DATA, folder / "data")
    for table in (ROOT / "configs" / "data").glob("*.csv"):
        shutil.copy(table, folder / "data")
    return Session(folder)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_guide_prints_what_it_shows(page: Path, session: Session) -> None:
    session.play(page.read_text(encoding="utf-8"))
    assert not session.faults, "\n\n".join(session.faults)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_guide_needs_no_python(page: Path) -> None:
    done = texts(page)
    files = [step.name for step in done if isinstance(step, File)]
    if page.stem == "deploy":  # its program is for a machine without kerascli
        assert [name for name in files if name.endswith(".py")] == ["batch.py"]
        return
    assert {Path(name).suffix for name in files} <= {".yaml", ".csv"}
    assert not [step for step in done if isinstance(step, Command) and re.search(r"\bpython|\.py\b", step.text)]
    assert any(isinstance(step, Command) and step.text.startswith("kerascli train") for step in done)
    assert "| model |" in page.read_text(encoding="utf-8"), "no results of other models on the same rows"


def test_there_are_twenty_two_guides_and_the_index_names_each() -> None:
    index = (GUIDES / "index.md").read_text(encoding="utf-8")
    assert len(PAGES) == 22
    assert re.findall(r"^\| \[.+?\]\((\w+)\.md\)", index, re.M) == re.findall(r"^(\w+)$", index.split(":::")[1], re.M)
    assert {page.stem for page in PAGES} == set(re.findall(r"^\| \[.+?\]\((\w+)\.md\)", index, re.M))


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("test  loss 0.1929  accuracy 0.9281", "test  loss 0.1931  accuracy 0.9285"),
        ("run   runs/2026-11-27T23-32-53Z-fraud", "run   runs/2031-01-02T03-04-05Z-fraud"),
        ("run   runs/2026-11-27T23-32-53Z-house", "run   runs/2031-01-02T03-04-05Z-house~2"),
        ("epoch  1/15  loss 0.4343  0.1 s", "epoch  1/15  loss 0.4343  12.0 s"),
        ("fraud   0.38       34", "fraud     0.38   34"),
        ("device: cpu (this torch is built for the CPU only)", "device: cpu (no GPU found)"),
    ],
)
def test_times_and_last_digits_may_differ(shown: str, printed: str) -> None:
    assert like(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("test  loss 0.1929", "test  loss 0.2529"),
        ("test  accuracy 0.95", "test  accuracy 0.85"),
        ("test  loss 0.1929", "validation  loss 0.1929"),
        ("data: train 1,800 rows", "data: train 1,900 rows"),
        ("run   runs/2026-11-27T23-32-53Z-fraud", "run   runs/2026-11-27T23-32-53Z-house"),
        ("setosa,0.99", "virginica,0.99"),
    ],
)
def test_words_and_numbers_may_not_differ(shown: str, printed: str) -> None:
    assert not like(shown, printed)


def test_a_page_may_name_a_tolerance(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.play("<!-- tolerance: 0.5 -->\n```console\n$ echo loss 0.3 of 20 rows\nloss 0.2 of 20 rows\n```\n")
    assert not session.faults
    session.play("<!-- tolerance: 0.5 -->\n```console\n$ echo loss 0.6 of 20 rows\nloss 0.2 of 20 rows\n```\n")
    assert len(session.faults) == 1


def test_lines_that_are_missing_or_too_many_are_found() -> None:
    assert difference(["a", "b"], ["a", "b"]) is None
    assert difference(["a", "...", "d"], ["a", "b", "c", "d"]) is None
    assert difference(["a", "..."], ["a", "b", "c"]) is None
    for shown in (["a"], ["a", "b", "c"], ["b", "a"], ["b"]):
        assert difference(shown, ["a", "b"]), shown


PAGE = """
<!-- file: words.csv -->
```text
one
```

```console
$ cat words.csv
{shown}
$ grep two words.csv
{code}```
"""


@pytest.mark.parametrize(
    ("shown", "code", "faults"),
    [("one", "$ echo $?\n1\n", 0), ("two", "$ echo $?\n1\n", 1), ("one", "", 1), ("one", "$ echo $?\n2\n", 1)],
)
def test_a_wrong_page_fails(shown: str, code: str, faults: int, tmp_path: Path) -> None:
    session = Session(tmp_path / "guide")
    (tmp_path / "guide").mkdir()
    session.play(PAGE.format(shown=shown, code=code))
    assert len(session.faults) == faults, session.faults


@pytest.fixture(scope="module")
def made() -> ModuleType:
    spec = importlib.util.spec_from_file_location("guides_data", DATA / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def plain(name: str, contents: bytes) -> bytes:
    """Return what a file holds: releases of zlib compress in different ways, and those of pyarrow sign their files."""
    contents = gzip.decompress(contents) if Path(name).suffix in BINARY else contents
    if ".tar" not in name:
        return contents
    with tarfile.open(fileobj=io.BytesIO(contents)) as archive:
        files = {entry.name: archive.extractfile(entry) for entry in archive.getmembers()}
    return b"".join(name.encode() + _values(name, file.read()) for name, file in files.items() if file)


def _values(name: str, contents: bytes) -> bytes:
    """Return the values in a picture or a file of Parquet."""
    if name.endswith(".parquet"):
        return repr(parquet.read_table(io.BytesIO(contents)).to_pydict()).encode()
    return np.asarray(Image.open(io.BytesIO(contents))).tobytes()


def test_the_data_is_what_its_script_makes(made: ModuleType) -> None:
    files = made.files()
    assert {path.name for path in DATA.iterdir()} - {"make.py", "README.md", "__pycache__"} == set(files)
    for name, contents in files.items():
        stored = (DATA / name).read_bytes()
        assert plain(name, stored) == plain(name, contents), name
        assert len(stored) < 50_000, name
