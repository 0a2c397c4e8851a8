"""Commands never overwrite their inputs, files of a run, or what is no config or schema."""

import hashlib
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kerascli.cli.commands import app
from kerascli.foundation.errors import ConfigError, KerasCliError
from kerascli.workflow.outputs import writable
from tests.support.runs_harness import write

CONFIG = """
seed: 5
data:
  source: {csv: {path: points.csv, test: more.csv}}
  inputs: {x: [{columns: [a, b]}, normalization]}
  targets: {kind: [string_lookup]}
model: {layers: [{dense: {units: 2, activation: softmax}}]}
compile: {loss: sparse_categorical_crossentropy}
fit:
  epochs: 1
  callbacks: [{reconstructions: {}}]
"""
ROWS = "a,b,kind\n1,2,left\n3,4,right\n5,6,left\n"


def kerascli(*line: str) -> str:
    result = CliRunner().invoke(app, list(line), catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a config, its data, a run, and files of every format."""
    folder = tmp_path_factory.mktemp("outputs")
    write(folder, CONFIG.replace("  callbacks: [{reconstructions: {}}]\n", ""))
    for name in ("points.csv", "more.csv", "new.csv"):
        write(folder, ROWS, name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        kerascli("train", "config.yaml", "--device", "cpu")
        next(Path("runs").glob("*-config")).rename("runs/2026-01-01T00-00-00Z-config")
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    shutil.copytree(trained, folder)
    monkeypatch.chdir(folder)
    return folder


def contents(folder: Path) -> dict[str, str]:
    """Return the digest of every file, except a run's own plots."""
    files = [path for path in folder.rglob("*") if path.is_file() and "plots" not in path.parts]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


RUN = "runs/2026-01-01T00-00-00Z-config"
REFUSED = {
    "the data of the run": "predict config new.csv -o points.csv",
    "its test rows": "predict config test -o more.csv",
    "the rows that are predicted": "predict config new.csv -o new.csv",
    "the same by another path": "predict config new.csv -o ../here/new.csv",
    "a link to them": "predict config new.csv -o link.csv",
    "a copy of the run's data": "predict config new.csv -o copy.csv",
    "a file of the run": f"predict config test -o {RUN}/history.csv",
    "a new file in the run": f"predict config test -o {RUN}/mine.csv",
    "the weights of the run": f"export config --format safetensors -o {RUN}/model.safetensors",
    "its checkpoints": f"export config -o {RUN}/checkpoints/mine.keras",
    "a table as a model": "export config --format state_dict -o new.csv",
    "a picture in the run": f"plot --model config -o {RUN}/model.png",
    "a config as a schema": "schema -o config.yaml",
    "a table as a schema": "schema -o new.csv",
    "a JSON file that is no schema": "schema -o package.json",
    "the run's facts as a schema": f"schema -o {RUN}/run.json",
    "a config in the run": f"init {RUN}/config.yaml --force",
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_be_lost_is_refused_and_stays(case: str, here: Path) -> None:
    Path("link.csv").symlink_to("new.csv")
    Path("copy.csv").write_bytes(Path("points.csv").read_bytes())
    write(here, "points,of,interest\n1,2,3\n", "new.csv")
    write(here, ROWS, "new.csv")
    write(here, '{"name": "mine", "version": "1.0"}', "package.json")
    before = contents(here)
    with pytest.raises(ConfigError) as refused:
        kerascli(*REFUSED[case].split())
    assert refused.value.exit_code == 2
    assert len(refused.value.faults) == 1
    assert contents(here) == before


WRITTEN = [
    "predict config new.csv -o out.csv",
    "predict config new.csv -o out.npz",
    "predict config new.csv -o out.parquet",
    "predict config new.csv -o out.npy",
    "export config --format safetensors -o out.safetensors",
    "export config -o out.keras",
    "export config --format state_dict -o out.pt",
    "plot -o out.png",
    "plot -o out.svg",
    f"plot -o {RUN}/plots/out.pdf",
    "schema -o out.json",
    "init out.yaml --force",
]


@pytest.mark.parametrize("line", WRITTEN)
def test_what_a_command_wrote_it_may_replace(line: str, here: Path) -> None:
    target = next(Path(word) for word in line.split() if "out." in word)
    target.parent.mkdir(exist_ok=True)
    target.touch()  # an empty file holds nothing
    kerascli(*line.split())
    first = target.read_bytes()
    kerascli(*line.split())
    assert len(first) > 0
    assert target.stat().st_size == len(first)


def test_a_model_of_keras_is_not_replaced_by_the_run_that_it_became(here: Path) -> None:
    kerascli("export", "config", "-o", "mine.keras")
    before = Path("mine.keras").read_bytes()
    kerascli("import", "mine.keras")
    with pytest.raises(ConfigError, match=r"the run was made from 'mine\.keras'"):
        kerascli("export", "mine")
    assert Path("mine.keras").read_bytes() == before


def test_the_folder_of_a_source_of_many_files_is_read(tmp_path: Path) -> None:
    (tmp_path / "images" / "cats").mkdir(parents=True)
    picture = tmp_path / "images" / "cats" / "one.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ConfigError, match="is read by this command"):
        writable(picture, reads=[tmp_path / "images"])


@pytest.mark.parametrize("place", ["no/file.csv", "folder.csv"])
def test_where_no_file_can_be_is_reported_before_any_work(place: str, here: Path) -> None:
    Path("folder.csv").mkdir()
    for line in (["predict", "config", "test", "-o", place], ["schema", "-o", place]):
        with pytest.raises(KerasCliError) as refused:
            kerascli(*line)
        assert refused.value.exit_code == 6
