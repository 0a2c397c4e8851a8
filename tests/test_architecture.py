"""Architecture: imports go one way, commands start fast, and dangerous functions are not called."""

import ast
import re
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "kerascli"
FILES = sorted(PACKAGE.rglob("*.py"))

# Each floor may import those above it; the members of a floor do not import each other unless they stand in MAY.
FLOORS = [
    ["foundation"],
    ["language"],
    ["parts", "preprocessing", "ops"],
    ["layers", "losses", "metrics", "schedules", "optimizers", "data", "runs"],
    ["features"],
    ["model", "callbacks"],
    ["config"],
    ["compiler", "studies"],
    ["training"],
    ["interop", "report"],
    ["workflow"],
    ["cli", "__main__"],
]
MAY = {
    ("metrics", "losses"), ("optimizers", "schedules"), ("callbacks", "schedules"), ("__main__", "cli"),
    ("ops", "parts"), ("ops", "preprocessing"),
}  # fmt: skip

# The same within rooms, of their files and folders; a room that does not stand here has no floors.
INNER_FLOORS = {
    "foundation": [
        ["profile", "replaced"],
        ["errors", "events", "interrupts", "spans", "light_torch", "cpus", "draws", "local_batch"],
        ["waiting"],
        ["disk", "shapes", "world", "device", "user_code"],
    ],
    "foundation/disk": [["flags", "pieces", "temporary"], ["files"], ["storage", "npz"], ["locks"]],
    "language": [["foreign_words", "kinds"], ["wording"], ["component"], ["section", "expressions"], ["trainable"]],
    "data": [
        ["storage", "download", "dates"], ["remote", "text"], ["base", "split"],
        ["batches", "datasets", "initializers", "mixing", "readers", "series_gaps", "where"],
        ["augmentations", "moved", "section"],
        ["digests"], ["pipeline"], ["transforms"], ["sources"], ["read", "text_codec"], ["command_input"],
    ],
    "model": [["ir"], ["syntax", "runtime", "freezing"], ["inference", "transfer"]],
    "config": [
        ["yaml", "component_index", "top_level"], ["composition", "misspelt", "without_data"],
        ["sections", "starter"], ["config", "schema"], ["data", "run"],
        ["cross_checks", "resolved"], ["describe"], ["load"],
    ],
    "training": [
        ["classes", "generation", "profiling", "tensor_file"], ["checks", "objectives"],
        ["checkpoint_files", "evaluate", "forward_pass"], ["build", "step"],
        ["execution_mode"],
        ["checkpoint", "strategies"], ["loop"],
    ],
    "training/strategies": [
        ["checks", "collectives", "failures", "notices"], ["group"],
        ["flat_step_result", "members", "process_sum", "shared_evaluation", "shared_file"], ["base"], ["data_parallel"],
        ["fsdp"],
    ],
    "workflow": [
        ["advice", "baselines", "bases", "generation", "loaded", "memory", "outputs"],
        ["fitting", "space_check"],
        ["check", "rows", "tracking"], ["evaluate", "make_samples", "predict"],
        ["evaluation", "interchange"], ["run_loop"], ["train"],
        ["forecasting", "further_training", "smoke", "stream", "tuning", "why"],
    ],
    "interop": [
        ["keras", "example_inputs", "published", "torch_files", "torchvision_names"],
        ["keras_import", "onnx_rows"], ["keras_export"], ["weight_files"], ["applications"],
    ],
}  # fmt: skip

COMPILER_MAY = {"foundation", "language"}
"""The compiler takes any module with example inputs, and does not know configs, data, models or training."""


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _imports(path: Path) -> Iterator[str]:
    """Return the modules that a file imports, also those for type checkers only."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _beside(path: Path, module: str, folder: tuple[str, ...]) -> tuple[str, str] | None:
    """Return the two children of a folder if a file in one imports a module in the other."""
    own, other = (path.relative_to(PACKAGE).with_suffix("").parts, tuple(module.split(".")[1:]))
    depth = len(folder)
    if not module.startswith("kerascli.") or own[:depth] != folder or other[:depth] != folder:
        return None
    if len(own) <= depth or len(other) <= depth or own[depth] in (other[depth], "__init__"):
        return None
    child = PACKAGE.joinpath(*other[: depth + 1])
    return (own[depth], other[depth]) if child.is_dir() or child.with_suffix(".py").exists() else None


@pytest.mark.parametrize("room", ["", *INNER_FLOORS])
def test_imports_flow_one_way(room: str) -> None:
    folder = tuple(room.split("/")) if room else ()
    floors = INNER_FLOORS[room] if room else FLOORS
    floor = {name: number for number, names in enumerate(floors) for name in names}
    wrong = []
    for path in FILES:
        for module in _imports(path):
            pair = _beside(path, module, folder)
            if pair is None:
                continue
            is_refused = floor[pair[1]] >= floor[pair[0]] and (room or pair not in MAY)
            if is_refused or (not room and pair[0] == "compiler" and pair[1] not in COMPILER_MAY):
                wrong.append(f"{path.relative_to(PACKAGE)} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_two_files_of_training_know_the_config() -> None:
    """All others take modules, components and plain data, so a training can be tested with an nn.Linear and a list."""
    knowing = {
        path.relative_to(PACKAGE).as_posix()
        for path in (PACKAGE / "training").rglob("*.py")
        if any(module.startswith("kerascli.config") for module in _imports(path))
    }
    assert knowing == {"training/build.py", "training/strategies/checks.py"}


PROCESS_WORDS = re.compile(
    r"torch\.distributed|kerascli\.(foundation\.)?world|training\.(distributed|strategies)|batch_part|Processes|Strategy"
    r"|rank 0|\bprocesses\b"
)
KNOW_PROCESSES = {
    "cli/evaluate.py", "cli/options.py", "cli/predict.py", "cli/process_group.py", "cli/train.py", "cli/validate.py",
    "config/sections/fit.py", "foundation/device.py", "layers/normalization/batch_normalization.py",
    "workflow/check.py", "workflow/loaded.py", "workflow/train.py", "workflow/fitting/frozen.py",
    "workflow/fitting/make_trainer.py",
    "workflow/fitting/memory_estimate.py", "workflow/fitting/options.py", "workflow/fitting/part_writer.py",
    "workflow/fitting/phases.py", "workflow/fitting/plan.py", "workflow/fitting/saver.py",
}  # fmt: skip
"""Files that know of several processes, beside those whose matter they are: options, what is divided, and a
strategy that is passed on."""


def test_few_files_know_of_several_processes() -> None:
    """Losses and synchronized layers know a part of a batch, and checkpoint files a range: who has the rest they do not
    ask."""
    theirs = {"cli/launching.py", "foundation/world.py", "workflow/tuning/worker.py"}
    knowing = {
        file
        for path in FILES
        if not (file := path.relative_to(PACKAGE).as_posix()).startswith("training/strategies/")
        and file not in theirs
        and PROCESS_WORDS.search(path.read_text(encoding="utf-8"))
    }
    assert knowing == KNOW_PROCESSES


def test_no_folder_has_a_circle() -> None:
    """The files and folders in a folder can be sorted so that each imports only earlier ones."""
    uses: dict[tuple[str, ...], dict[str, set[str]]] = {}
    for path in FILES:
        own = path.relative_to(PACKAGE).parent.parts
        for module in _imports(path):
            for depth in range(len(own) + 1):
                pair = _beside(path, module, own[:depth])
                if pair and not {pair, pair[::-1]} <= MAY:
                    uses.setdefault(own[:depth], {}).setdefault(pair[0], set()).add(pair[1])
    circles = {"/".join(folder): found for folder, graph in uses.items() if (found := _circle(graph))}
    assert not circles


def _circle(graph: dict[str, set[str]]) -> list[str]:
    """Return the names that import each other, directly or through others."""
    left = graph
    while True:
        used = {name for uses in left.values() for name in uses}
        kept = {name: {n for n in uses if left.get(n)} for name, uses in left.items() if uses and name in used}
        if kept == left:
            return sorted(left)
        left = kept


HEAVY = {"torch", "matplotlib", "numpy", "pandas", "pyarrow", "keras", "asyncio", "optuna"}
NOT_LOADED_BY = {
    "--help": {
        *HEAVY,
        "pydantic",
        "kerascli.runs.record",
        "kerascli.report.tables",
        "kerascli.config.yaml.document",
    },
    "--version": {*HEAVY, "pydantic", "kerascli.runs.record"},
    "train --help": {*HEAVY, "kerascli.runs.record"},  # to parse arguments, typer itself loads pydantic
    "runs --help": {*HEAVY, "kerascli.runs.record"},
    "runs": HEAVY,
    "studies": HEAVY,
    "report": HEAVY,
}
"""Modules that a command must not load, because it can do without them and its user waits for them."""


@pytest.mark.parametrize("command", NOT_LOADED_BY)
def test_commands_load_only_what_they_need(command: str, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.argv = ['kerascli', *{command.split()}]\n"
        "from kerascli.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print('loaded:', sorted({NOT_LOADED_BY[command]} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert run.stdout.strip().endswith("loaded: []"), run.stdout[-300:]


FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"}
FORBIDDEN_ATTRIBUTES = {("yaml", "load"), ("yaml", "unsafe_load"), ("os", "system")}
UNPICKLING = {"torch.load", "torch.serialization.load", "torch.jit.load"}
DOORS = {"interop/published.py", "interop/torch_files.py"}
"""Files that may unpickle: published weights, verified by checksum, and bytes written by the same process."""


def test_nothing_read_is_ever_executed() -> None:
    found = []
    for path in FILES:
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.Call):
                match node.func:
                    case ast.Name(id=name) if name in FORBIDDEN_CALLS:
                        found.append(f"{path.name}:{node.lineno} {name}()")
                    case ast.Attribute(value=ast.Name(id=owner), attr=name) if (owner, name) in FORBIDDEN_ATTRIBUTES:
                        found.append(f"{path.name}:{node.lineno} {owner}.{name}()")
                    case _:
                        pass
                if ast.unparse(node.func) in UNPICKLING:
                    safe = any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords)
                    if not safe or path.relative_to(PACKAGE).as_posix() not in DOORS:
                        found.append(f"{path.name}:{node.lineno} {ast.unparse(node.func)}()")
                for keyword in node.keywords:
                    if (keyword.arg, ast.unparse(keyword.value)) in {
                        ("allow_pickle", "True"), ("weights_only", "False"), ("shell", "True"),
                    }:  # fmt: skip
                        found.append(f"{path.name}:{node.lineno} {keyword.arg}")
        found += [f"{path.name} imports {m}" for m in _imports(path) if m.split(".")[0] in FORBIDDEN_MODULES]
    assert not found, "\n".join(found)


PRIVATE_OF_TORCH = {
    "compiler/torch_private.py": {"*"},
    "foundation/light_torch.py": {"torch._dynamo"},
    "optimizers/adam.py": {"torch._fused_adam_"},
    "optimizers/clipping.py": {"torch._foreach_norm", "torch._foreach_mul_"},
    "optimizers/flat.py": {"torch._foreach_copy_"},
}
"""The file for private names of torch, and those that earlier packages use."""


def _torch_names(path: Path) -> Iterator[str]:
    """Yield the dotted names of torch that a file imports or uses, as far as they are written out."""
    yield from (module for module in _imports(path) if module.startswith("torch."))
    known = {"torch": "torch", "nn": "torch.nn", "F": "torch.nn.functional", "fx": "torch.fx", "aten": "torch.ops.aten"}
    for node in ast.walk(_tree(path)):
        root, _, rest = ast.unparse(node).partition(".") if isinstance(node, ast.Attribute) else ("", "", "")
        if root in known and rest.replace(".", "").isidentifier():
            yield f"{known[root]}.{rest}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("torch._"):
            yield node.value


def _is_private(name: str) -> bool:
    return any(part.startswith("_") and not part.startswith("__") for part in name.split("."))


def test_private_names_of_torch_stand_in_one_file() -> None:
    found = []
    for path in FILES:
        file = path.relative_to(PACKAGE).as_posix()
        allowed = PRIVATE_OF_TORCH.get(file, set())
        found += [
            f"{file} uses {name}"
            for name in _torch_names(path)
            if _is_private(name) and "*" not in allowed and not any(name.startswith(each) for each in allowed)
        ]
    assert not found, "\n".join(found)


READERS = {
    "foundation/disk/files.py": "the door",
    "foundation/disk/storage.py": "writes",
    "foundation/disk/locks.py": "makes and looks at lock files",
    "foundation/cpus.py": "the kernel's files, of no size",
    "interop/keras/hdf5_child.py": "a process of its own, and its memory as the kernel tells it",
    "cli/app.py": "/dev/null in place of a stream that was closed",
    "cli/init.py": "templates of the package",
    "cli/program.py": "/dev/null in place of a pipe that was closed",
    "report/architecture/picture.py": "a table of the package",
    "report/page/document.py": "styles and scripts of the package",
    "training/strategies/group.py": "/dev/null in place of standard output, for what torch prints",
    "training/strategies/shared_file.py": "a temporary file that another process made a moment ago",
    "data/datasets/mnist/__init__.py": "data of the package",
    "training/profiling/window.py": "a trace that torch wrote a moment ago",
}
"""Files that open other files without disk/files.py, with the reason."""
OPENED = {"archive", "tarfile", "webbrowser", "Image", "RunRecord"}
"""Objects with an `open` of their own: archives, browsers, and bytes read by disk/files.py."""
PAST_THE_DOOR = {"os.open", "os.fdopen", "io.open", "np.load", "np.fromfile", "np.memmap", "np.loadtxt", "h5py.File"}


def _opens(call: ast.Call) -> bool:
    text = ast.unparse(call.func)
    match call.func:
        case ast.Name(id="open"):
            return True
        case ast.Attribute(attr="read_text" | "read_bytes"):
            return True
        case ast.Attribute(attr="open", value=owner):
            return ast.unparse(owner) not in OPENED
        case _:
            return text in PAST_THE_DOOR and '"w"' not in ast.unparse(call).replace("'", '"')


def test_files_from_outside_come_through_one_door() -> None:
    opens: dict[str, list[int]] = {}
    for path in FILES:
        lines = [node.lineno for node in ast.walk(_tree(path)) if isinstance(node, ast.Call) and _opens(node)]
        opens |= {path.relative_to(PACKAGE).as_posix(): lines} if lines else {}
    assert {name: lines for name, lines in opens.items() if name not in READERS} == {}
    assert opens.keys() == READERS.keys(), "which opens none"


def test_random_numbers_come_from_draws_alone() -> None:
    """Layers and other components never use torch's global generator."""
    names = {"rand", "randn", "rand_like", "randn_like", "bernoulli", "randint", "randperm", "dropout"}
    found = []
    for path in FILES:
        if path.relative_to(PACKAGE).parts[0] not in {
            "layers",
            "parts",
            "ops",
            "model",
            "compiler",
            "training",
            "preprocessing",
        }:
            continue
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names:
                owner = ast.unparse(node.func.value)
                if owner in {"torch", "F", "nn.functional"}:
                    found.append(f"{path.name}:{node.lineno} {owner}.{node.func.attr}")
    assert not found, "\n".join(found)


PEERS = {
    "callbacks",
    "cli",
}
"""Folders whose files are peers: one command, one source, one component each."""
MOST_FILES, MOST_OF_ONE_NAME = 17, 3


def test_a_folder_can_be_read_at_a_glance() -> None:
    """A folder has few files side by side unless they are peers, and few modules share a name."""
    modules = [path for path in FILES if not path.name.startswith("__")]
    folders = Counter(path.relative_to(PACKAGE).parent.as_posix() for path in modules)
    assert {folder: n for folder, n in folders.items() if n > MOST_FILES and folder not in PEERS} == {}
    assert all(folders[folder] > MOST_FILES for folder in PEERS), "which need not stand here"
    names = Counter(path.stem for path in modules if path.stem != "base")
    assert {name: n for name, n in names.items() if n > MOST_OF_ONE_NAME} == {}


MOST_LINES = {"Files": 400, "functions": 60}


def test_files_and_functions_stay_small() -> None:
    long_files = {
        p.name: n for p in FILES if (n := len(p.read_text(encoding="utf-8").splitlines())) > MOST_LINES["Files"]
    }
    assert not long_files, long_files
    long_functions = [
        f"{path.name}:{node.name}"
        for path in FILES
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > MOST_LINES["functions"]
    ]
    assert not long_functions, long_functions


MEDIAN_LINES, SHORT_FILES, MOST_SHORT_FILES, NINETIETH_PERCENTILE = (80, 130), 30, 20, 230


def test_lengths_of_files_are_in_bands() -> None:
    """A maximum alone gets filled: files are neither fragments, whose imports outweigh them, nor collections."""
    lengths = sorted(len(path.read_text(encoding="utf-8").splitlines()) for path in FILES if path.name != "__init__.py")
    assert MEDIAN_LINES[0] <= statistics.median(lengths) <= MEDIAN_LINES[1]
    assert sum(length < SHORT_FILES for length in lengths) <= MOST_SHORT_FILES
    assert lengths[len(lengths) * 9 // 10] <= NINETIETH_PERCENTILE


MOST_BRANCHES, MOST_COMPLEX_FUNCTIONS = 15, 30
COMPLEX_FUNCTIONS = {
    "config/cross_checks.py:_class_fault",
    "config/sections/read_compile.py:_per_output",
    "interop/keras/hdf5_child.py:_plain_dataset",
    "interop/keras/optimizer_variables.py:_of_rule",
    "interop/keras_import/hidden_masks.py:_hide",
    "language/section.py:component_hint",
    "layers/attention/heads.py:_attend",
    "layers/recurrent/base.py:forward",
    "report/architecture/from_graph.py:level",
    "workflow/rows/raw_arrays.py:raw_rows",
}
"""Functions with more branches; ruff's C901 counts no conditional expressions, boolean operators or comprehensions."""


def _branches(function: ast.AST) -> int:
    """Return the number of paths that a function's conditions add, without those of functions in it, plus one."""
    count, nodes = 1, list(ast.iter_child_nodes(function))
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        match node:
            case ast.If() | ast.IfExp() | ast.For() | ast.AsyncFor() | ast.While() | ast.ExceptHandler():
                count += 1
            case ast.BoolOp(values=values):
                count += len(values) - 1
            case ast.comprehension(ifs=conditions):
                count += 1 + len(conditions)
            case ast.match_case(pattern=ast.MatchAs(pattern=None), guard=None):
                pass  # `case _`, the else of a match
            case ast.match_case():
                count += 1
        nodes += ast.iter_child_nodes(node)
    return count


def test_few_functions_have_many_branches() -> None:
    complex_functions = {
        f"{path.relative_to(PACKAGE).as_posix()}:{node.name}"
        for path in FILES
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _branches(node) > MOST_BRANCHES
    }
    assert complex_functions == COMPLEX_FUNCTIONS
    assert len(complex_functions) <= MOST_COMPLEX_FUNCTIONS


def test_the_limits_are_those_that_contributors_are_told() -> None:
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    told = re.search(r"^- Files of at most (\d+) lines, functions of at most (\d+);", text, re.M)
    assert told is not None
    assert [int(number) for number in told.groups()] == list(MOST_LINES.values())
