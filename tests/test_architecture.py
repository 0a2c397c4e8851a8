"""The house keeps its shape: imports flow one way, commands start light, nothing dangerous is called."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "kerascli"
FILES = sorted(PACKAGE.rglob("*.py"))

# Each floor may import those above it; the members of a floor do not import each other unless they stand in MAY.
FLOORS = [
    [
        "errors",
        "events",
        "interrupts",
        "shapes",
        "spans",
        "wording",
        "pieces",
        "storage",
        "files",
        "locks",
        "light_torch",
        "cpus",
    ],
    ["component", "section", "expressions", "device", "draws", "user_code"],
    ["parts", "preprocessing", "ops"],
    ["layers", "losses", "metrics", "schedules", "optimizers", "data", "runs"],
    ["model", "callbacks"],
    ["config"],
    ["compiler", "training"],
    ["interop", "report", "profiling"],
    ["workflow"],
    ["cli", "__main__"],
]
MAY = {
    ("component", "wording"), ("wording", "errors"), ("storage", "errors"), ("files", "errors"), ("shapes", "errors"),
    ("storage", "pieces"), ("files", "storage"), ("locks", "storage"), ("locks", "errors"), ("metrics", "losses"),
    ("optimizers", "schedules"), ("callbacks", "schedules"), ("__main__", "cli"), ("ops", "parts"),
    ("ops", "preprocessing"), ("compiler", "training"), ("training", "compiler"),
}  # fmt: skip


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _room(module: str) -> str:
    return module.split(".")[1] if module.startswith("kerascli.") else ""


def test_imports_flow_one_way() -> None:
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    wrong = []
    for path in FILES:
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        own = parts[0]
        if own == "__init__":
            continue
        for module in _imports(path):
            other = _room(module)
            if not other or other == own or other == "__version__":
                continue
            if floor[other] >= floor[own] and (own, other) not in MAY:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {module}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["runs", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; sys.argv = ['kerascli', *" + repr(arguments) + "]\n"
        "from kerascli.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'matplotlib', 'numpy', 'pandas', 'keras'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip().endswith("heavy: []"), run.stdout[-300:]


FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"}
FORBIDDEN_ATTRIBUTES = {("yaml", "load"), ("yaml", "unsafe_load"), ("os", "system")}
UNPICKLING = {"torch.load", "torch.serialization.load", "torch.jit.load"}
DOORS = {"interop/published.py", "interop/torch_files.py"}
"""Published weights, by checksum, and the bytes that we wrote ourselves a moment ago."""


def test_nothing_read_is_ever_executed() -> None:
    found = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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


def test_random_numbers_come_from_draws_alone() -> None:
    """Layers and parts never reach for torch's global generator."""
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
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names:
                owner = ast.unparse(node.func.value)
                if owner in {"torch", "F", "nn.functional"}:
                    found.append(f"{path.name}:{node.lineno} {owner}.{node.func.attr}")
    assert not found, "\n".join(found)


def test_files_and_functions_stay_small() -> None:
    long_files = {p.name: n for p in FILES if (n := len(p.read_text(encoding="utf-8").splitlines())) > 400}
    assert not long_files, long_files
    long_functions = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno > 60:
                long_functions.append(f"{path.name}:{node.name}")
    assert not long_functions, long_functions
