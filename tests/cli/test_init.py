"""`init` writes valid configs, reports what it found in a table, and overwrites nothing."""

import gzip
import os
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kerascli.cli.commands import app
from kerascli.cli.init import from_data, template_names, write_new
from kerascli.config.data import load_config_data
from kerascli.config.describe import describe_config
from kerascli.config.load import open_config
from kerascli.config.run import RunSpec
from kerascli.config.starter.models import KINDS
from kerascli.config.starter.start import start_from
from kerascli.config.yaml.document import Document
from kerascli.foundation.errors import ConfigError, DataError, StorageError
from kerascli.workflow.check import check
from kerascli.workflow.smoke import smoke

PENGUINS = Path(__file__).parents[2] / "configs" / "data" / "penguins.csv"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(*arguments: str) -> str:
    """Run `init`; return its stderr."""
    result = CliRunner().invoke(app, ["init", *arguments], catch_exceptions=False)
    assert result.stdout == ""
    return result.stderr


def table(text: str, name: str = "data.csv") -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def config_for(data: Path, target: str | None, config: str = "config.yaml") -> str:
    return from_data(start_from(data, str(data), target), data, Path(config))


def described(text: str, name: str = "config.yaml") -> RunSpec:
    """Return the config for a table, checked against the table itself."""
    write_new(Path(name), text, force=False)
    config = open_config(Path(name))
    data = load_config_data(config)
    return describe_config(config, data.facts, {split: rows.rows for split, rows in data.splits.items()})


def columns(**values: object) -> str:
    names, rows = list(values), zip(*values.values(), strict=True)  # type: ignore[arg-type]
    return "\n".join([",".join(names), *(",".join(map(str, row)) for row in rows)]) + "\n"


@pytest.mark.parametrize("template", template_names())
def test_a_template_is_valid_and_tells_its_own_command(template: str) -> None:
    assert "wrote my config.yaml" in init("my config.yaml", "--template", template)
    assert Path("my config.yaml").read_text(encoding="utf-8").startswith("# kerascli train 'my config.yaml'\n")
    assert check(Path("my config.yaml"), sets=[], flags=[]).lines[0] == "my config.yaml: ok"
    assert "CONFIG" not in Path("my config.yaml").read_text(encoding="utf-8")


def test_without_a_name_the_default_is_written() -> None:
    init()
    assert check(Path("config.yaml"), sets=[], flags=[]).lines[0] == "config.yaml: ok"


def test_a_model_alone_is_its_template() -> None:
    init("model.yaml", "--model", "linear")
    init("template.yaml", "--template", "linear")
    model, template = (Path(name).read_text(encoding="utf-8") for name in ("model.yaml", "template.yaml"))
    assert model == template.replace("template.yaml", "model.yaml")
    assert set(KINDS) <= set(template_names())


def test_a_file_is_replaced_by_force_only() -> None:
    table("model: {layers: [flatten]}\n", "config.yaml")
    with pytest.raises(ConfigError, match=r"'config\.yaml' already exists") as refused:
        init()
    assert refused.value.exit_code == 2
    assert Path("config.yaml").read_text(encoding="utf-8") == "model: {layers: [flatten]}\n"
    init("--force")
    assert "kerascli train" in Path("config.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("train.csv", "a,b\n1,2\n"),
        ("train.yaml", "a,b\n1,2\n"),
        ("compose.yaml", "services: {db: {image: postgres}}\nname: mine\n"),
        ("broken.yaml", "model: {layers: [flatten\n"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--force"], ["--force", "--from", "SELF"], ["--force", "--template", "cnn"]])
def test_what_is_no_config_is_never_replaced(name: str, text: str, more: list[str]) -> None:
    table(text, name)
    with pytest.raises(ConfigError) as refused:
        init(name, *(name if word == "SELF" else word for word in more))
    assert "--force" not in str(refused.value.faults[0].hint)
    assert Path(name).read_text(encoding="utf-8") == text
    assert [path.name for path in Path().iterdir()] == [name]


def test_a_table_in_the_place_of_the_config_is_told_how_it_was_meant() -> None:
    table("a,b\n1,2\n", "my train.csv")
    with pytest.raises(ConfigError) as refused:
        init("my train.csv", "--force")
    (fault,) = refused.value.faults
    assert fault.text == "'my train.csv': the name of a config ends in .yaml"
    assert fault.hint == "kerascli init 'my train.yaml' --from 'my train.csv' makes a config for that table"
    with pytest.raises(ConfigError, match=r"the name of a config ends in \.yaml"):
        init("new")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--template", "mpl"], "there is no template 'mpl'; did you mean 'mlp'?"),
        (["--template", "mlp", "--from", "x.csv"], "give --template or --from, not both"),
        (["--template", "mlp", "--model", "cnn"], "give --template or --model, not both"),
        (["--model", "ltsm"], "there is no model 'ltsm'; did you mean 'lstm'?"),
        (["--target", "y"], "--target needs --from"),
        (["--search"], "--search needs --from"),
        (["--model", "cnn", "--search"], "--search needs --from"),
        (["--from", "x", "--application", "vgg16", "--search"], "--search cannot be used with --application"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        init(*arguments)
    assert refused.value.faults[0].text == said
    assert list(Path().iterdir()) == []


def test_a_table_with_words_and_gaps_trains_in_whole() -> None:
    path = table(PENGUINS.read_text(encoding="utf-8"), "penguins.csv")
    Path("configs").mkdir()
    assert "warning" not in init("configs/p.yaml", "--from", str(path), "--target", "species")
    assert "path: ../penguins.csv" in Path("configs/p.yaml").read_text(encoding="utf-8")
    assert any(line.startswith("predict:") for line in smoke(Path("configs/p.yaml"), flags=[]))


def test_a_column_of_words_is_a_classification() -> None:
    random = np.random.default_rng(0)
    text = columns(a=random.normal(size=90), b=random.integers(0, 5, 90), kind=["x", "y", "z"] * 30)
    spec = described(config_for(table(text), "kind"))
    assert spec.compile is not None
    (pair,) = spec.compile.pairs
    assert pair.loss is not None
    assert pair.loss.component_name == "sparse_categorical_crossentropy"
    assert spec.built.specs[pair.output].shape == (3,)


@pytest.mark.parametrize("words", [["no", "yes"], [0, 1], [7, 9]])
def test_two_classes_are_a_probability(words: list[object]) -> None:
    spec = described(config_for(table(columns(a=np.arange(60) % 7, kind=words * 30)), "kind"))
    assert spec.compile is not None
    (pair,) = spec.compile.pairs
    assert pair.loss is not None
    assert pair.loss.component_name == "binary_crossentropy"
    assert spec.built.specs[pair.output].shape == (1,)


@pytest.mark.parametrize("factor", [1.0, 5000.0, 0.0002])
def test_a_number_is_a_regression_whose_target_is_normalized(factor: float) -> None:
    text = columns(a=np.arange(60) % 7, y=(np.arange(60) / 59 * factor).tolist())
    spec = described(config_for(table(text), "y"))
    assert spec.compile is not None
    assert spec.data is not None
    (pair,) = spec.compile.pairs
    assert pair.loss is not None
    assert pair.loss.component_name == "mean_squared_error"
    (step,) = spec.data.targets["y"].steps
    assert step.transform.component_name == "normalization"


def test_columns_of_no_use_are_left_out_and_named() -> None:
    rows = 60
    text = columns(
        id=range(1, rows + 1), same=[1] * rows, note=[f"text {n}" for n in range(rows)], a=np.arange(rows) % 7,
        empty=[""] * rows, y=["p", "q"] * (rows // 2),
    )  # fmt: skip
    config = config_for(table(text), "y")
    assert [line for line in config.splitlines() if "left out" in line] == [
        "# - left out: id (row numbers)", "# - left out: same (one value)",
        "# - left out: note (60 different words)", "# - left out: empty (no value)",
    ]  # fmt: skip
    assert described(config).data is not None


def test_names_that_the_language_does_not_take_are_kept_as_columns() -> None:
    names = ["body mass, kg", "$cost", "dense", "2nd: x", "prev", "class #"]
    words = [["u", "v", "w"][row % 3] for row in range(60)]
    lines = [",".join(f'"{name}"' for name in names)]
    lines += [f"{row % 11},{row % 7},{words[row]},{words[row]},{words[row]},{'pq'[row % 2]}" for row in range(60)]
    spec = described(config_for(table("\n".join(lines) + "\n"), "class #"))
    assert spec.data is not None
    used = set(spec.data.columns_of())
    assert used == set(names)


def test_other_delimiters_are_seen() -> None:
    spec = described(config_for(table("a;y\n" + "1;p\n2;q\n4;p\n" * 20), "y"))
    assert spec.data is not None
    assert spec.data.source.dump()["csv"]["delimiter"] == ";"  # type: ignore[index]


def test_the_target_is_reported() -> None:
    table("a,y\n" + "1,p\n2,q\n4,p\n" * 20)
    assert "target: y (by its name; --target chooses another)" in init("--from", "data.csv")


@pytest.mark.parametrize(
    ("text", "target", "said"),
    [
        ("a,y\n" + "1,0.5\n2,\n3,0.25\n" * 4, "y", "the target is missing in 4 rows"),
        ("a,y\n" + "1,p\n2,p\n" * 6, "y", "the target 'y' has one value: nothing to learn"),
        (
            "a,y\n" + "".join(f"{n},w{n}\n" for n in range(12)),
            "y",
            "the target 'y' has 12 different words in 12 rows: nothing to learn",
        ),
        ("a,y\n" + "1,p\n1,q\n" * 6, "y", "no column to learn from"),
        ("a,y\n" + "1,1e300\n2,2.5\n3,7\n" * 6, "y", "the target 'y' has values beyond 1e+150: too large to be scaled"),
        ("a,y\n1,p\n2,q\n", "y", "2 rows: at least 10 are needed to train, validate and test"),
    ],
)
def test_a_table_of_no_use_is_refused(text: str, target: str, said: str) -> None:
    with pytest.raises(DataError) as refused:
        config_for(table(text), target)
    assert refused.value.faults[0].text == said


def test_a_target_that_is_not_there_is_a_fault_of_the_command() -> None:
    with pytest.raises(ConfigError, match=r"there is no column 'kindd'; did you mean 'kind'\?"):
        config_for(table("a,kind\n" + "1,p\n2,q\n" * 9), "kindd")


def test_force_replaces_what_a_link_leads_to_and_only_a_file(folder: Path) -> None:
    Path("link.yaml").symlink_to("mine.yaml")
    init("link.yaml", "--force")
    assert Path("link.yaml").is_symlink()
    assert "kerascli train" in Path("mine.yaml").read_text(encoding="utf-8")
    os.mkfifo("fifo.yaml")
    with pytest.raises(StorageError, match=r"cannot write 'fifo\.yaml': it is not a regular file"):
        init("fifo.yaml", "--force")


RANDOM = np.random.default_rng(0)
A, B = RANDOM.normal(size=(2, 120)).round(6).tolist()
DAYS = np.arange("2023-01-01", "2023-12-31", 3, dtype="datetime64[D]").astype(str).tolist()
YES = ["no", "yes"] * 60
HOSTILE = {
    "18 digits beside gaps": columns(ref=[10**17 + 7 * n for n in range(120)], a=[*A[:-1], ""], b=B, y=YES),
    "a constant": columns(k=[7] * 120, a=A, b=[*B[:9], "", *B[10:]], y=YES),
    "a year": columns(day=DAYS[:120], a=A, b=[*B[:-1], ""], y=YES),
    "umlauts and decimal commas": "Größe in m²;b;Übergabe?\n"
    + "".join(f"{a},{n};{n % 7},5;{'ja' if n % 2 else 'nein'}\n".replace(".", "") for n, a in enumerate(A)),
    "words": columns(a=["u", "v", "w"] * 40, b=["x", "", "z", "z"] * 30, c=B, y=["p", "q", "r", "q"] * 30),
    "emoji": columns(fruit=["🍎", "🍐", "🍌"] * 40, b=B, **{"why 🤔?": YES}),
    "too large": columns(a=[f"{a}e300" for a in A], b=B, y=YES),
    "a series": columns(day=DAYS[:120], k=[5] * 120, v=B),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_config_of_init_trains_without_warnings_and_a_new_gap_stops_nothing(name: str) -> None:
    path = table(HOSTILE[name], "my table.csv")
    assert "warning" not in init("--from", str(path))
    assert check(Path("config.yaml"), sets=[], flags=[]).warnings == []
    result = CliRunner().invoke(app, ["train", "config.yaml", "--set", "fit.epochs=1"], catch_exceptions=False)
    assert result.exit_code == 0
    (run,) = Path("runs").glob("20*")
    assert run.name.endswith("-my_table")
    header, *lines = HOSTILE[name].splitlines()
    separator = ";" if ";" in header else ","
    gap = separator * header.count(separator)
    if name == "a series":
        gap = f"{DAYS[120]},5,"
    table("\n".join([header, *lines[-30:], gap]) + "\n", "new.csv")
    said = CliRunner().invoke(app, ["predict", "latest", "new.csv"], catch_exceptions=False)
    assert (said.exit_code, said.stdout.count("nan")) == (0, 0)


def test_what_fails_in_its_first_step_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(document: Document) -> list[str]:
        raise DataError("no such step")

    monkeypatch.setattr("kerascli.workflow.smoke.first_step", failed)
    table(columns(a=A, y=YES))
    result = CliRunner().invoke(app, ["init", "--from", "data.csv"])
    assert result.stderr.endswith("config.yaml is not written: its first training step failed\n")
    assert isinstance(result.exception, DataError)
    assert [path.name for path in Path().iterdir()] == ["data.csv"]


@pytest.mark.parametrize(
    ("config", "data", "name"),
    [("config.yaml", "Größe (m²).2.csv", "Gr__e__m__.2"), ("config.yml", "a.csv.gz", "a"), ("b.yaml", "a.csv", "b")],
)
def test_runs_are_called_after_the_table_unless_the_config_has_a_name(config: str, data: str, name: str) -> None:
    text = columns(a=A, y=YES).encode()
    Path(data).write_bytes(gzip.compress(text) if data.endswith("gz") else text)
    Path(config).write_text(config_for(Path(data), None, config), encoding="utf-8")
    assert open_config(Path(config)).name == name


def test_the_help_names_every_template() -> None:
    said = CliRunner().invoke(app, ["init", "--help"]).stdout.partition("--template")[2].partition("--from")[0]
    assert set(template_names()) == set(re.findall(r"[a-z_]+", said)) - {"or", "default", "str", "and"}
