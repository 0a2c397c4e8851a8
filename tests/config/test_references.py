"""Flags, `$` references, `extends` and `--set`: they give one document in which every value knows its file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kerascli.config.composition.extends import MAX_CHAIN, read_extended
from kerascli.config.composition.merge import is_component
from kerascli.config.composition.overrides import override
from kerascli.config.composition.references import Facts, References, escape_references, read_flags
from kerascli.config.yaml.document import Document
from kerascli.config.yaml.dump import dump_yaml
from kerascli.config.yaml.text import parse_document
from kerascli.foundation.errors import ConfigError, Fault, KerasCliError

FACTS: Mapping[str, Any] = {
    "inputs.x.shape": [28, 28], "targets.y.num_classes": 10, "inputs.x.max_length": None, "inputs.u.shape": None,
}  # fmt: skip


def resolve(document: Document, flags: Mapping[str, Any], facts: Facts | None = None) -> Document:
    resolved, faults = References(document, flags, facts).resolve()
    if faults:
        raise document.error(faults)
    return resolved


def resolved(text: str, *flags: str) -> Document:
    document = parse_document(text, "c.yaml")
    return resolve(document, read_flags(document, flags), FACTS)


def messages(error: KerasCliError) -> list[str]:
    return [fault.lines()[0] for fault in error.faults]


def paths(value: Any, here: tuple[Any, ...] = ()) -> set[tuple[Any, ...]]:
    """Yield every path in a value, including the empty one."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {here}.union(*(paths(item, (*here, key)) for key, item in items))


def faults_of(text: str, *flags: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolved(text, *flags)
    return messages(caught.value)


# flags and references


def test_references_become_values_with_their_types() -> None:
    document = resolved("""
flags: {units: 128, rate: 0.4, act: relu, twice: $(2 * units)}
a: [$units, $rate, $act, $twice, $(units > 3)]
b: {name: "head_$(units)", price: $$5, file: $act.keras}
c: [$targets.y.num_classes, $inputs.x.shape, "$(inputs.x.shape[0] * 2)"]
""")
    assert document.data["flags"] == {"units": 128, "rate": 0.4, "act": "relu", "twice": 256}
    assert document.data["a"] == [128, 0.4, "relu", 256, True]
    assert document.data["b"] == {"name": "head_128", "price": "$5", "file": "relu.keras"}
    assert document.data["c"] == [10, [28, 28], 56]


def test_a_flag_of_the_command_line_has_the_type_of_its_default() -> None:
    text = "flags: {units: 128, rate: 0.4, act: relu, bias: true, twice: $(2 * units)}\nx: 1"
    data = resolved(text, "units=0x10", "rate=1", "act=010", "bias=false").data
    assert data["flags"] == {"units": 16, "rate": 1.0, "act": "010", "bias": False, "twice": 32}
    assert isinstance(data["flags"]["rate"], float)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("units=abc", "flag units: expected an integer, got the text 'abc'"),
        ("units=1.5", "flag units: expected an integer, got 1.5"),
        ("units=true", "flag units: expected an integer, got true"),
        ("units=", "flag units: expected an integer, got nothing (null)"),
        ("units=010", "flag units: ambiguous value '010': YAML 1.1 read a number with a leading zero as octal"),
        ("rate=abc", "flag rate: expected a number, got the text 'abc'"),
        ("rate=true", "flag rate: expected a number, got true"),
        ("bias=1", "flag bias: expected true or false, got 1"),
        ("unit=3", "there is no flag 'unit'; did you mean 'units'?"),
        ("zzz=3", "there is no flag 'zzz'; it declares units, rate, bias"),
        ("units", "expected name=value, got 'units'"),
    ],
)
def test_a_wrong_flag_is_a_fault_of_the_command_line(flag: str, message: str) -> None:
    assert faults_of("flags: {units: 128, rate: 0.4, bias: true}\n", flag) == [f"--flag {flag}: error: {message}"]


def test_a_flag_without_a_flags_section_is_a_fault() -> None:
    assert faults_of("a: 1", "units=3") == ["--flag units=3: error: there is no flag 'units': the config declares none"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flags: 3", "c.yaml:1:8: error: flags: expected a mapping of names and defaults, got 3"),
        ("flags: {a: [1]}",
         "c.yaml:1:12: error: flag 'a': expected a default (a number, text, true or false), got the list [1]"),
        ("flags:\n  a:",
         "c.yaml:2:3: error: flag 'a': expected a default (a number, text, true or false), got nothing (null)"),
        ("flags: {a-b: 1}",
         "c.yaml:1:9: error: flag 'a-b': a name has letters, digits and '_' only, and starts with no digit; write a_b"),
        ("flags: {a: $b, b: 1}", "c.yaml:1:13: error: flag 'a': no earlier flag 'b'"),
        ("flags: {a: $targets.y.num_classes}", "c.yaml:1:13: error: flag 'a': no earlier flag 'targets.y.num_classes'"),
    ],
)  # fmt: skip
def test_a_wrong_declaration_is_a_fault_at_its_place(text: str, message: str) -> None:
    assert faults_of(text) == [message]


def test_all_wrong_references_come_at_once_with_a_caret_into_the_text() -> None:
    text = """flags: {units: 128}
a: $unit
b: "ab $(2 * unit)"
c: $targets.y.num_clases
d: cost $5
e: '$(1 / 0)'
f: {g: $(1 +)}
$units: 3
"""
    with pytest.raises(ConfigError) as caught:
        resolved(text)
    assert messages(caught.value) == [
        "c.yaml:2:5: error: unknown name 'unit'; did you mean 'units'?",
        "c.yaml:3:14: error: unknown name 'unit'; did you mean 'units'?",
        "c.yaml:4:5: error: unknown name 'targets.y.num_clases'; did you mean 'targets.y.num_classes'?",
        "c.yaml:5:9: error: '$' starts a reference, $name or $(...); a literal '$' is written '$$'",
        "c.yaml:6:9: error: division by zero",
        "c.yaml:7:13: error: expected a value, got the end",
        "c.yaml:8:1: error: a key cannot be a reference: '$units'",
    ]
    second = list(caught.value.faults)[1]
    assert second.lines()[1:] == ['  3 | b: "ab $(2 * unit)"', "    |              ^^^^"]


def test_an_unknown_fact_has_a_stand_in_and_its_path_is_kept() -> None:
    text = "a: $inputs.x.max_length\nb: [1, '$(10 // (inputs.x.max_length - 2))']\nc: $inputs.u.shape"
    references = References(parse_document(text, "c.yaml"), {}, FACTS)
    assert references.resolve()[0].data == {"a": 2, "b": [1, 2], "c": [2]}
    assert references.unknown == [("a",), ("b", 1), ("c",)]


def test_without_data_every_fact_is_unknown() -> None:
    references = References(parse_document("a: $targets.any.thing", "c.yaml"), {})
    references.resolve()
    assert references.unknown == [("a",)]


def test_blocks_and_repeats_keep_their_own_names_for_later() -> None:
    text = """
flags: {units: 3}
model:
  blocks: {b: {parameters: {f: 1}, layers: [{dense: $f}]}}
  layers:
    - dense: $units
    - repeat: {times: 2, index: i, layers: [{dense: $i}]}
"""
    model = resolved(text).data["model"]
    assert model["blocks"]["b"]["layers"] == [{"dense": "$f"}]
    assert model["layers"] == [{"dense": 3}, {"repeat": {"times": 2, "index": "i", "layers": [{"dense": "$i"}]}}]


def test_resolved_data_is_a_config_that_resolves_to_itself() -> None:
    data = {"a": ["$5", "$$", "$units", "$(1 +", 3], "b": {"c": "x"}}
    document = parse_document(dump_yaml(escape_references(data)), "c.yaml")
    assert resolve(document, {}).data == data


# extends


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder / f"{next(iter(files))}.yaml"


def test_a_config_lies_on_top_of_a_chain_of_others(tmp_path: Path) -> None:
    top = write(
        tmp_path,
        top="extends: middle.yaml\nfit: {epochs: 3}\n",
        middle="extends: base.yaml\nfit: {epochs: 2, shuffle: null}\nmodel: {layers: [flatten]}\n",
        base="fit: {epochs: 1, batch_size: 8, shuffle: false}\nmodel: {layers: [relu, softmax]}\nseed: 1\n",
    )
    document = read_extended(top)
    assert document.data == {"fit": {"epochs": 3, "batch_size": 8}, "model": {"layers": ["flatten"]}, "seed": 1}
    where = {path: str(mark.value).rsplit("/", 1)[1] for path, mark in document.marks.items()}
    assert where[("fit", "epochs")] == "top.yaml:2:15"
    assert where[("fit", "batch_size")] == "base.yaml:1:30"
    assert where[("model", "layers", 0)] == "middle.yaml:3:18"
    assert ("fit", "shuffle") not in where
    assert ("model", "layers", 1) not in where
    assert set(where) == {(), ("fit",), ("fit", "epochs"), ("fit", "batch_size"), ("model",), ("model", "layers"),
                          ("model", "layers", 0), ("seed",)}  # fmt: skip


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    write(tmp_path / "lib", base="data: {source: {csv: {path: a.csv}}}\nplugins: [p.py]\n")
    top = write(tmp_path, top="extends: lib/base.yaml\nplugins: [q.py]\n")
    document = read_extended(top)
    assert document.folder_of(("data", "source", "csv", "path")) == tmp_path / "lib"
    assert document.folder_of(("data", "source", "csv", "delimiter")) == tmp_path / "lib"
    assert document.folder_of(("plugins", 0)) == tmp_path
    assert override(document, ["data.source.csv.path=b.csv"]).folder_of(("data", "source", "csv", "path")) == Path()


MERGES = [
    # (path, base, over, merged)
    ("compile.optimizer", "{adam: {learning_rate: 1}}", "{rmsprop: {rho: 0.8}}", {"rmsprop": {"rho": 0.8}}),
    ("compile.optimizer", "{adam: {learning_rate: 1}}", "rmsprop", "rmsprop"),
    ("compile.optimizer", "adam", "{rmsprop: {rho: 0.8}}", {"rmsprop": {"rho": 0.8}}),
    ("compile.optimizer", "{adam: {beta_1: 0.5}}", "{adam: {beta_2: 0.7}}", {"adam": {"beta_1": 0.5, "beta_2": 0.7}}),
    ("compile.optimizer", "{rmsprop: {rho: 0.8}}", "{RMSprop: {rho: 0.7}}", {"rmsprop": {"rho": 0.7}}),
    ("compile.optimizer", "adam", "{Adam: 0.1}", {"Adam": 0.1}),
    ("compile.optimizer", "{adam: {beta_1: 0.5}}", "adam", {"adam": {"beta_1": 0.5}}),
    ("compile.optimizer", "{adam: 0.1}", "{adam: 0.2}", {"adam": 0.2}),
    ("compile.optimizer", "{adam: {learning_rate: {cosine_decay: {decay_steps: 9}}}}",
     "{adam: {learning_rate: {exponential_decay: {decay_rate: 2}}}}",
     {"adam": {"learning_rate": {"exponential_decay": {"decay_rate": 2}}}}),
    ("compile.optimizer", "{adam: {learning_rate: 1}}", "{adam: {learning_rate: {cosine_decay: {decay_steps: 9}}}}",
     {"adam": {"learning_rate": {"cosine_decay": {"decay_steps": 9}}}}),
    ("data.source", "{csv: {path: a}}", "{npz: {path: b}}", {"npz": {"path": "b"}}),
    ("data.inputs.x", "{rescaling: 2}", "{normalization: {axis: 1}}", {"normalization": {"axis": 1}}),
    ("compile.optimizer", "{optimizer_adam: {beta_1: 0.5}}", "{adam: {beta_2: 0.7}}",
     {"optimizer_adam": {"beta_1": 0.5, "beta_2": 0.7}}),
    ("compile.loss", "{mse: {reduction: sum}}", "mean_squared_error", {"mse": {"reduction": "sum"}}),
    ("compile.loss", "mse", "{digit: mse}", {"digit": "mse"}),
    ("compile.loss", "{a: mse}", "{b: mae}", {"a": "mse", "b": "mae"}),
    ("compile.loss", "{a: {huber: {delta: 2}}}", "{a: {huber: {reduction: sum}}}",
     {"a": {"huber": {"delta": 2, "reduction": "sum"}}}),
    ("compile.loss", "{a: mse, b: mae}", "{b: null}", {"a": "mse"}),
    ("compile.loss", "{a: mse, b: mae}", "{huber: {delta: 3}}", {"huber": {"delta": 3}}),
    ("compile.loss", "{huber: {delta: 3}}", "{a: mse, b: mae}", {"a": "mse", "b": "mae"}),
    ("model.shared.tower", "{layers: [flatten]}", "{trainable: false}", {"layers": ["flatten"], "trainable": False}),
    ("model.shared.tower", "{dense: {units: 2}}", "{layers: [flatten]}", {"layers": ["flatten"]}),
    ("fit", "{epochs: 1}", "{batch_size: 2}", {"epochs": 1, "batch_size": 2}),
    ("fit", "{epochs: 1, shuffle: true}", "{shuffle: null, steps: null}", {"epochs": 1, "steps": None}),
    ("fit.class_weight", "{0: 1.0, 1: 2.0}", "{1: 3.0}", {0: 1.0, 1: 3.0}),
    ("fit.callbacks", "[a, b]", "[c]", ["c"]),
    ("model.blocks.b.parameters", "{f: 1}", "{g: }", {"f": 1, "g": None}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "base", "over", "merged"), MERGES)
def test_extends_and_set_merge_by_one_rule(tmp_path: Path, path: str, base: str, over: str, merged: Any) -> None:
    def at(value: str) -> str:
        return "".join("  " * depth + f"{part}:\n" for depth, part in enumerate(path.split(".")))[:-1] + f" {value}\n"

    top = write(tmp_path, top="extends: base.yaml\n" + at(over), base=at(base))
    both = read_extended(top)
    by_set = override(parse_document(at(base), "base.yaml"), [f"{path}={over}"])
    for document in (both, by_set):
        assert document.at(tuple(path.split("."))) == merged
        assert set(document.marks) == paths(document.data)


def test_a_flag_of_a_base_may_be_computed_from_a_new_one(tmp_path: Path) -> None:
    top = write(tmp_path, top="extends: base.yaml\nflags: {width: 3, units: $(2*width), last: $(units+1)}\n",
                base="flags: {units: 4, deep: $(units*10)}\n")  # fmt: skip
    flags = read_flags(read_extended(top), [])
    assert flags == {"width": 3, "units": 6, "deep": 60, "last": 7}


def test_an_argument_without_a_name_cannot_be_merged_in_silence(tmp_path: Path) -> None:
    base, over = "compile: {optimizer: {adam: 0.1}}\n", "compile:\n  optimizer: {adam: {beta_1: 0.5}}\n"
    top = write(tmp_path, top="extends: base.yaml\n" + over, base=base)
    with pytest.raises(ConfigError) as caught:
        read_extended(top)
    text = "'adam' has 0.1 in the base and a mapping of 1 key here"
    assert messages(caught.value) == [f"{top}:3:21: error: {text}"]
    with pytest.raises(ConfigError) as caught:
        override(parse_document(base, "c.yaml"), ["compile.optimizer.adam={beta_1: 0.5}"])
    assert messages(caught.value)[0].startswith("--set compile.optimizer.adam={beta_1: 0.5}: error: ")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("compile.optimizer", True), ("compile.optimizer.adam.learning_rate", True), ("data.source", True),
        ("model.shared.tower", True), ("model.shared.t.dense.kernel_initializer", True), ("data.inputs.x", True),
        ("fit", False), ("compile", False), ("optimizer", False), ("fit.callbacks", False), ("data.split", False),
    ],
)  # fmt: skip
def test_components_stand_at_known_places(path: str, expected: bool) -> None:
    assert is_component(tuple(path.split("."))) is expected


def test_circles_long_chains_and_missing_files_are_refused(tmp_path: Path) -> None:
    a = write(
        tmp_path, a="extends: b.yaml", b="extends: ./a.yaml", c="extends: 3", d="extends: bb.yaml", e="extends: f.yaml"
    )
    (tmp_path / "f.yaml").write_text("a: 010")
    for i in range(MAX_CHAIN + 1):
        write(tmp_path, **{f"n{i}": f"extends: n{i + 1}.yaml"})
    (tmp_path / f"n{MAX_CHAIN + 1}.yaml").write_text("a: 1")
    cases = {
        a: f"{a}:1:10: error: extends: a chain of more than {MAX_CHAIN} files, or a circle",
        tmp_path / "c.yaml": f"{tmp_path}/c.yaml:1:10: error: extends: expected the path of a config, got 3",
        tmp_path / "d.yaml": (
            f"{tmp_path}/d.yaml:1:10: error: there is no file '{tmp_path}/bb.yaml'; did you mean '{tmp_path}/b.yaml'?"
        ),
        tmp_path / "e.yaml": (
            f"{tmp_path}/f.yaml:1:4: error: ambiguous value '010': YAML 1.1 read a number with a leading zero as octal"
        ),
        tmp_path / "n0.yaml": (
            f"{tmp_path}/n{MAX_CHAIN}.yaml:1:10: error: extends: a chain of more than {MAX_CHAIN} files, or a circle"
        ),
    }
    for path, expected in cases.items():
        with pytest.raises(ConfigError) as caught:
            read_extended(path)
        assert messages(caught.value) == [expected]


# overrides

CONFIG = """compile: {optimizer: rmsprop, loss: mse}
fit: {epochs: 3, class_weight: {0: 1.0}}
model:
  layers:
    - dense: {units: 3, activation: relu}
    - flatten
    - dropout: 0.4
"""


@pytest.mark.parametrize(
    ("sets", "path", "value"),
    [
        (["fit.epochs=2"], ("fit", "epochs"), 2),
        (["fit.rate=1e-4"], ("fit", "rate"), 1e-4),
        (["fit.epochs=null", "fit.epochs=$n"], ("fit", "epochs"), "$n"),
        (["compile.optimizer.rmsprop.learning_rate=1e-4"], ("compile", "optimizer"),
         {"rmsprop": {"learning_rate": 1e-4}}),
        (["compile.optimizer.adam.learning_rate=1e-4"], ("compile", "optimizer"), {"adam": {"learning_rate": 1e-4}}),
        (["compile.optimizer=adam"], ("compile", "optimizer"), "adam"),
        (["compile.optimizer=null"], ("compile",), {"loss": "mse"}),
        (["compile.optimizer.rms_prop.rho=0.5", "compile.optimizer.RMSprop.momentum=0.1"],
         ("compile", "optimizer"), {"rmsprop": {"rho": 0.5, "momentum": 0.1}}),
        (["model.layers[0].dense.units=5"], ("model", "layers", 0), {"dense": {"units": 5, "activation": "relu"}}),
        (["model.layers.0.dense.units=5"], ("model", "layers", 0), {"dense": {"units": 5, "activation": "relu"}}),
        (["model.layers[0].dense.activation=null"], ("model", "layers", 0), {"dense": {"units": 3}}),
        (["model.layers[0]={dense: {units: 5}}"], ("model", "layers", 0, "dense"), {"units": 5, "activation": "relu"}),
        (["model.layers[0]={conv_1d: {filters: 5}}"], ("model", "layers", 0), {"conv_1d": {"filters": 5}}),
        (["model.layers[2]={dense: 3}"], ("model", "layers", 2), {"dense": 3}),
        (["model.layers[1].flatten.name=f"], ("model", "layers", 1), {"flatten": {"name": "f"}}),
        (["model.layers[-1]={dropout: 1}"], ("model", "layers"),
         [{"dense": {"units": 3, "activation": "relu"}}, "flatten", {"dropout": 1}]),
        (["fit.class_weight.0=2.0", "fit.class_weight.1=5.0"], ("fit", "class_weight"), {0: 2.0, 1: 5.0}),
        (["fit.callbacks=[early_stopping, {csv_logger: {append: yes}}]"], ("fit", "callbacks"),
         ["early_stopping", {"csv_logger": {"append": "yes"}}]),
        (["seed=3"], ("seed",), 3),
        (["data.split.test=0.2"], ("data",), {"split": {"test": 0.2}}),
    ],
)  # fmt: skip
def test_set_changes_one_value_and_leaves_the_rest(sets: list[str], path: Any, value: Any) -> None:
    before = parse_document(CONFIG, "c.yaml")
    after = override(before, sets)
    assert after.at(path) == value
    assert before.data == parse_document(CONFIG, "c.yaml").data
    changed = path[0]
    assert {k: v for k, v in after.data.items() if k != changed} == {
        k: v for k, v in before.data.items() if k != changed
    }


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("model.layers[2].dropout.rate=1", "'model.layers[2].dropout' is 0.4: there is no 'rate' in it"),
        ("model.layers[5].x=1", "there is no 'model.layers[5]'; the list has model.layers[0] to model.layers[2]"),
        ("model.layers.first=1", "'model.layers' is a list; 'first' is not an index"),
        ("model.layers[2].dense.units=1", "'model.layers[2]' is 'dropout', not 'dense'"),
        ("model.layers[1].dense.units=1", "'model.layers[1]' is the text 'flatten': there is no 'dense' in it"),
        ("model.shared[0]=1", "there is no 'model.shared', so it has no item 0"),
        ("fit.epochs.x=3", "'fit.epochs' is 3: there is no 'x' in it"),
        ("fit.epohcs=null", "there is no 'fit.epohcs' to delete; did you mean 'epochs'?"),
        ("fit.epochs=010", "ambiguous value '010': YAML 1.1 read a number with a leading zero as octal"),
        ("fit.epochs=[1, 2", "the '[' is never closed"),
        ("fit.epochs=!!int 3", "tags ('!...') are not allowed: a config is data only"),
        ("fit.epochs", "expected path=value, got 'fit.epochs'"),
        ("fit.epochs=", "no value for 'fit.epochs'"),
        ("=3", "expected path=value, got '=3'"),
        ("fit..epochs=3", "'fit..epochs' is not the path of a setting"),
        ("fit.epochs]=3", "'fit.epochs]' is not the path of a setting"),
        (".fit=3", "'.fit' is not the path of a setting"),
        ("fit.=3", "'fit.' is not the path of a setting"),
    ],
)
def test_a_wrong_override_says_what_is_there(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        override(parse_document(CONFIG, "c.yaml"), [assignment])
    assert messages(caught.value) == [f"--set {assignment}: error: {message}"]


def test_below_an_argument_without_a_name_the_hint_says_how_to_set_it() -> None:
    document = parse_document("compile: {optimizer: {adam: 0.1}}\nfit: {epochs: 3, phases: [{epochs: 1}]}", "c.yaml")
    hints = []
    for path in ("compile.optimizer.adam.learning_rate", "fit.epochs.x", "fit.phases[0].epochs.x"):
        with pytest.raises(ConfigError) as caught:
            override(document, [f"{path}=1"])
        hints.append(caught.value.faults[0].hint)
    assert hints == ["the argument is written without its name: --set compile.optimizer.adam=... sets it", None, None]
    assert override(document, ["compile.optimizer.adam=1"]).at(("compile", "optimizer")) == {"adam": 1}


def test_only_names_of_components_may_be_spelled_in_several_ways() -> None:
    document = override(parse_document("fit: {epochs: 3}\nmodel: {layers: [{Dense: 3}]}", "c.yaml"), ["fit.Epochs=4"])
    assert document.data["fit"] == {"epochs": 3, "Epochs": 4}
    assert override(document, ["model.layers[0].dense=4"]).data["model"] == {"layers": [{"Dense": 4}]}


def test_all_wrong_overrides_come_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        override(parse_document(CONFIG, "c.yaml"), ["fit.epochs.x=3", "fit.batch_size=8", "seed=010"])
    assert [fault.place and fault.place.file for fault in caught.value.faults] == [
        "--set fit.epochs.x=3",
        "--set seed=010",
    ]


def test_a_later_fault_about_an_override_names_the_option() -> None:
    document = override(parse_document(CONFIG, "c.yaml"), ["fit.epochs=abc", "model.layers[0].dense.unit=3"])
    error = document.error(
        [
            Fault("epochs: expected an integer, got the text 'abc'", ("fit", "epochs")),
            Fault("unknown key 'unit' in dense", ("model", "layers", 0, "dense", "unit"), "key"),
            Fault("units: must be at least 4, got 3", ("model", "layers", 0, "dense", "units")),
        ]
    )
    assert messages(error) == [
        "c.yaml:5:22: error: units: must be at least 4, got 3",
        "--set fit.epochs=abc: error: epochs: expected an integer, got the text 'abc'",
        "--set model.layers[0].dense.unit=3: error: unknown key 'unit' in dense",
    ]


def test_a_reference_set_from_the_command_line_is_resolved_and_its_fault_names_the_option() -> None:
    document = override(parse_document("flags: {n: 4}\nfit: {epochs: 1}", "c.yaml"), ["fit.epochs=$(2 * n)"])
    assert resolve(document, read_flags(document)).data["fit"] == {"epochs": 8}
    document = override(document, ["fit.epochs=$m"])
    with pytest.raises(ConfigError) as caught:
        resolve(document, read_flags(document))
    assert messages(caught.value) == ["--set fit.epochs=$m: error: unknown name 'm'"]
