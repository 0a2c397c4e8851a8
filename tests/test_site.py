"""The documentation's site is built without a warning, and what its pages are made of is true."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import pytest
import yaml
from site_pages import gallery, house
from site_pages.components import component_page
from site_pages.examples import example, idle_arguments
from site_pages.extension import FOLDERS, generated
from site_pages.keras_names import names, names_of_table
from site_pages.links import rewritten

from kerascli.config.schema.sections import sections
from kerascli.config.yaml.text import parse_value
from kerascli.foundation.errors import ConfigError
from kerascli.language.component import registries
from kerascli.report.reference import component_entry
from kerascli.workflow.check import check
from tests.parity import signatures
from tests.support.needs import library
from tests.support.runs_harness import write
from tests.test_architecture import PACKAGE

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
KINDS = sorted(registries())

CONFIG: dict[str, Any] = {
    "seed": 1,
    "data": {"source": {"blobs": {"rows": 40, "features": 4, "classes": 3, "seed": 1}}, "inputs": {"x": []},
             "targets": {"y": []}},
    "model": {"layers": [{"dense": 4}, {"dense": {"units": 3, "activation": "softmax"}}]},
    "compile": {"loss": "sparse_categorical_crossentropy", "optimizer": "sgd"},
    "fit": {"epochs": 2, "validation_split": 0.2},
}  # fmt: skip
"""A config that an example is put into."""
PLACES = {
    "optimizer": ("compile",), "schedule": ("compile", "optimizer", "sgd"), "callback": ("fit",),
    "activation": ("model", "layers", 0, "dense"), "initializer": ("model", "layers", 0, "dense"),
    "regularizer": ("model", "layers", 0, "dense"), "constraint": ("model", "layers", 0, "dense"),
    "distribution": ("fit",),
}  # fmt: skip
"""By kind: where the example stands in it."""
SPECIAL = {
    "image": "fills weights [1, height, width, channels]",
    "stft": "fills kernels of three axes",
    "swap_ema_weights": "needs an optimizer with use_ema",
    **dict.fromkeys(
        ("decode_examples", "generate_text", "heat_map", "latent_scatter", "manifold_grid", "reconstructions"),
        "needs a model that makes texts or pictures",
    ),
}  # fmt: skip
"""Examples that are not of such a model, and why: the config is refused."""


def examples(kind: str) -> dict[str, str]:
    """Return the example of each component of a kind, as its page has it."""
    return {cls.component_name: example(component_entry(kind, cls), cls) for cls in registries()[kind]}


def component_of(written: Any, kind: str) -> Any:
    """Return what an example says of the component, without the key that it stands below."""
    if kind == "layer":
        return written[0]
    if isinstance(written, dict) and registries()[kind].find(next(iter(written))) is None:
        written = next(iter(written.values()))
    return written[0] if isinstance(written, list) else written


@pytest.mark.parametrize("kind", KINDS)
def test_every_example_is_read_as_a_config_reads_it(kind: str) -> None:
    for name, text in examples(kind).items():
        written = component_of(parse_value(text, name), kind)
        if kind == "layer" and isinstance(written, dict):  # beside its settings stand the keys of the node
            keys = {key.name for key in component_entry(kind, registries()[kind].get(name)).beside}
            arguments = written[name]
            if isinstance(arguments, dict):
                arguments = {key: value for key, value in arguments.items() if key not in keys}
            written = {name: arguments} if arguments != {} else name
        assert registries()[kind].parse(written).component_name == name
        assert "..." not in text


@pytest.mark.parametrize("kind", PLACES)
def test_an_example_makes_a_valid_config(kind: str, tmp_path: Path) -> None:
    for name, text in examples(kind).items():
        config = yaml.safe_load(yaml.safe_dump(CONFIG))
        config["compile"]["optimizer"] = {"sgd": {}}
        config["model"]["layers"][0]["dense"] = {"units": 4}
        place = config
        for step in PLACES[kind]:
            place = place[step]
        place.update(parse_value(text, name))
        path = write(tmp_path, yaml.safe_dump(config))
        if name in SPECIAL:
            with pytest.raises(ConfigError):
                check(path, sets=[], flags=[])
        else:
            assert check(path, sets=[], flags=[]).lines[0].endswith("config.yaml: ok"), name


def test_the_table_of_arguments_has_nothing_that_is_not_used() -> None:
    assert idle_arguments() == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_called_keras_is_there(kind: str) -> None:
    for each in [*names(kind).values(), *(names_of_table(kind) if kind in KINDS else ())]:
        if "FeatureSpace." in each.name:
            assert hasattr(keras.utils.FeatureSpace, each.name.rpartition(".")[2])
            continue
        found: Any = keras
        for part in each.name.split(".")[1:]:
            found = getattr(found, part)
        assert each.url.startswith("https://keras.io/api/")
        assert each.url.endswith("/")


@pytest.mark.parametrize("kind", sorted(signatures.MODULES))
def test_every_component_that_keras_has_is_linked_to_it(kind: str) -> None:
    linked = {name: each.name.rpartition(".")[2] for name, each in names(kind).items()}
    theirs = {cls.component_name: name for cls, them in signatures.pairs(kind) if (name := them.__name__)}
    assert linked.keys() == theirs.keys()


def test_every_page_of_a_component_says_its_arguments() -> None:
    for kind in KINDS:
        for cls in registries()[kind]:
            text = component_page(kind, cls)
            for key in component_entry(kind, cls).keys:
                assert f"| `{key.name}` |" in text


def test_every_section_component_config_and_room_has_a_page() -> None:
    pages = {path for path, _ in generated(DOCS)}
    assert {f"sections/{name}.md" for name in sections()} <= pages
    assert {f"house/{name}.md" for name in house.rooms()} <= pages
    assert {f"gallery/{name}.md" for name in gallery.config_names()} <= pages
    count = sum(len(registries()[kind].names()) for kind in KINDS)
    assert sum(path.startswith("reference/") for path in pages) == count + len(KINDS) + len(
        ["index", "ops", "commands"]
    )
    assert {path.partition("/")[0] for path in pages} == set(FOLDERS)


def test_the_paths_of_values_lead_through_files_that_there_are() -> None:
    for path in house.paths():
        missing = [file for file, _ in path.steps if not (ROOT / file).is_file()]
        assert missing == [], path.title


def test_every_room_is_described_and_on_a_path() -> None:
    rooms = house.rooms().keys()
    assert house.texts().keys() == rooms
    assert {house.room_of(file) for path in house.paths() for file, _ in path.steps} == rooms
    assert all((PACKAGE / room).is_dir() or (PACKAGE / f"{room}.py").is_file() for room in rooms)


def test_pictures_are_of_configs() -> None:
    pictures = gallery.pictures()
    assert pictures.keys() <= set(gallery.config_names())
    assert all(chosen == "model" or (DOCS / "images" / chosen).is_file() for chosen in pictures.values())


def test_a_page_of_the_gallery_has_its_picture() -> None:
    pages = {path: contents.decode(errors="replace") for path, contents in generated(DOCS)}
    for name in gallery.pictures():
        (target,) = re.findall(r"^!\[.*\]\((.*)\)$", pages[f"gallery/{name}.md"], re.M)
        path = os.path.normpath(Path("gallery", name).parent / target)
        assert path in pages or (DOCS / path).is_file()


def test_links_into_the_repository_lead_to_the_page_of_a_file() -> None:
    pages = {"docs/runs.md": "runs", "configs/README.md": "gallery/index"}
    text = "[a](runs.md#x), [b](../configs/README.md), [c](https://x.y/z), `[d](e)`\n```\n[f](g)\n```\n"
    assert rewritten(text, "errors", "docs/errors.md", pages) == text.replace("../configs/README", "gallery/index")
    moved = rewritten("[a](../docs/runs.md) ![b](../docs/images/b.png)", "gallery/index", "configs/README.md", pages)
    assert moved == "[a](../runs.md) ![b](../images/b.png)"


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    for module in ("sphinx", "furo", "myst_parser"):
        library(module)  # pip install 'kerascli[docs]'
    docs = tmp_path / "docs"
    shutil.copytree(DOCS, docs, ignore=lambda folder, _: [*FOLDERS, "_build"] if Path(folder) == DOCS else [])
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", str(docs), str(tmp_path / "html")]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    for page in ("index", "reference/layers/dense", "sections/fit", "gallery/mnist_mlp", "house/layers"):
        html = (tmp_path / "html" / f"{page}.html").read_text(encoding="utf-8")
        assert re.search(r"<h1>", html)
        assert "system-message" not in html
