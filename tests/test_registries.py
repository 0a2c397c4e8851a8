"""Every kind of component is known to every command, in a process that has imported nothing before."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kerascli.config.composition.applications import applications
from kerascli.language.component import Component, Registry

EVERY_REGISTRY = """
import gc, importlib, json, pkgutil
import kerascli
from kerascli.language.component import Registry
for info in pkgutil.walk_packages(kerascli.__path__, "kerascli."):
    if not info.name.endswith("__main__"):
        importlib.import_module(info.name)
print(json.dumps({r.kind: r.names() for r in gc.get_objects() if isinstance(r, Registry)}))
"""
"""All registries, found by importing all modules and searching memory."""


def fresh(*command: str) -> str:
    """Return the output of a new process; this one has imported everything."""
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def kinds() -> dict[str, list[str]]:
    return json.loads(fresh("-c", EVERY_REGISTRY))


def test_list_schema_and_explain_know_every_registry(kinds: dict[str, list[str]]) -> None:
    assert {"layer", "loss", "metric", "optimizer", "feature", "augmentation"} <= kinds.keys()
    counts = json.loads(fresh("-m", "kerascli", "list", "--json"))
    assert counts.pop("op") > 300
    assert counts.pop("application") == len(applications())
    assert counts == {kind: len(names) for kind, names in kinds.items()}
    definitions = json.loads(fresh("-m", "kerascli", "schema"))["$defs"]
    for kind, names in kinds.items():
        assert set(definitions[kind]["anyOf"][-2]["properties"]) >= set(names)  # and their aliases
        assert {f"{kind}.{name}" for name in names} <= definitions.keys()


def test_a_kind_that_no_layer_needs_is_listed_and_explained(kinds: dict[str, list[str]]) -> None:
    listed = fresh("-m", "kerascli", "list", "metrics").splitlines()
    assert [line.split()[0] for line in listed] == kinds["metric"]
    assert fresh("-m", "kerascli", "explain", "losses").startswith("losses: kind\n  Written as a name")


def test_a_component_of_another_kind_is_recognized_whatever_was_imported() -> None:
    code = (
        "from kerascli.language.component import Invalid\n"
        "from kerascli.parts.base import ACTIVATIONS\n"
        "try: ACTIVATIONS.get('huber')\n"
        "except Invalid as invalid: print(invalid.faults[0].hint)"
    )
    assert fresh("-c", code) == "huber is a loss and a metric: 'kerascli explain huber' shows where it can be used\n"


def test_a_registry_that_nothing_would_find_is_refused() -> None:
    class Thing(Component):
        """A component of a kind whose module the commands do not know."""

    with pytest.raises(TypeError, match=r"test_registries is missing from KINDS"):
        Registry("thing", Thing, ())


def test_layers_are_found_without_what_reads_tables() -> None:
    code = "import sys; from kerascli.layers.base import LAYERS; assert LAYERS.names(); print('pyarrow' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_an_index_lets_a_component_be_imported_alone(tmp_path: Path) -> None:
    made = "from kerascli.config import component_index as index; index.save(index.make())"
    used = """
from kerascli.config.component_index import use_index
from kerascli.layers.base import LAYERS
use_index()
assert LAYERS.find("Dense").component_name == "dense" and LAYERS.find("nothing_like_it") is None
alone = len(LAYERS._classes)
assert LAYERS.find("random_flip").component_name == "random_flip"  # made by a loop, in another module than its class
assert 0 < alone < 30 and len(LAYERS.names()) > 100, alone
"""
    for code in (made, used):
        subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)})
