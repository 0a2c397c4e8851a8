"""The core: the tests that `pytest` without paths runs, one argument of pytest a line in tests/core.txt."""

from pathlib import Path, PurePosixPath

import pytest

CORE = Path(__file__).parent.parent / "core.txt"


def core_arguments() -> list[str]:
    """Return the folders, files and tests of the core; pytest itself refuses one that does not exist."""
    lines = CORE.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


class Core:
    """Plugin that narrows `pytest` without paths to the core, unless --all, --rest, -k or -m say otherwise."""

    def pytest_configure(self, config: pytest.Config) -> None:
        option = config.option
        is_wide = option.all or option.rest or option.keyword or option.markexpr
        if config.args_source is pytest.Config.ArgsSource.TESTPATHS and not is_wide:
            config.args = core_arguments()

    def pytest_ignore_collect(self, collection_path: Path, config: pytest.Config) -> bool | None:
        """Read no files whose tests are all in the core with --rest."""
        if config.option.rest and collection_path.relative_to(config.rootpath).as_posix() in core_arguments():
            return True
        return None

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Deselect the core with --rest."""
        if config.option.rest:
            core = set(core_arguments())
            deselected = [item for item in items if not core.isdisjoint(names_of(item.nodeid))]
            config.hook.pytest_deselected(items=deselected)
            items[:] = [item for item in items if core.isdisjoint(names_of(item.nodeid))]


def names_of(nodeid: str) -> set[str]:
    """Return the arguments that select an item: its id, the test without parameters, its class, file and folders."""
    parts = nodeid.partition("[")[0].split("::")
    folders = map(str, PurePosixPath(parts[0]).parents)
    return {nodeid, *folders, *("::".join(parts[:number]) for number in range(1, len(parts) + 1))}


def add_options(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run all tests, not only the core (tests/core.txt)")
    parser.addoption("--rest", action="store_true", help="run all tests but the core")
