"""python -m benchmarks.torture: the scripts that there are, by the first line of each."""

import ast
import sys
from pathlib import Path


def scripts() -> dict[str, str]:
    """Return the name of every script, and what it does."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
        head, _, does = first.partition(": ")
        if head == f"python -m benchmarks.torture.{path.stem}":
            found[path.stem] = does
    return found


if __name__ == "__main__":
    for name, does in scripts().items():
        print(f"python -m benchmarks.torture.{name:<10} {does}")
    sys.exit(0)
