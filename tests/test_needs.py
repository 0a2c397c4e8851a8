"""A missing program is a reason to skip a test, except where KERASCLI_REQUIRE_ALL says that all are there."""

from pathlib import Path

import pytest

from tests.support.needs import REQUIRE_ALL, Needs, library, missing, needs, needs_program

SKIPPED, FAILED = pytest.skip.Exception, pytest.fail.Exception


@pytest.mark.parametrize(("value", "outcome"), [(None, SKIPPED), ("", SKIPPED), ("0", SKIPPED), ("1", FAILED)])
def test_a_missing_library_skips_a_test_or_fails_it(
    value: str | None, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(REQUIRE_ALL, raising=False)
    if value is not None:
        monkeypatch.setenv(REQUIRE_ALL, value)
    with pytest.raises(outcome, match="needs no_such_library: No module named 'no_such_library'"):
        library("no_such_library.part")


def test_a_library_that_is_there_is_returned() -> None:
    assert library("json.decoder").JSONDecoder


@pytest.mark.parametrize(
    ("mark", "is_there"),
    [
        (needs(None, "needs a server"), False),
        (needs("/usr/bin/server", "needs a server"), True),
        (needs_program("no-such-program", reason="needs a server"), False),
        (needs_program("no-such-program", "sh", reason="needs a server"), True),
    ],
)
def test_a_mark_is_looked_at_before_the_test_is_set_up(
    mark: pytest.MarkDecorator, is_there: bool, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(REQUIRE_ALL, "1")
    node = pytest.Function.from_parent(request.node.parent, name="test_it", callobj=lambda: None)
    node.add_marker(mark)
    if is_there:
        Needs().pytest_runtest_setup(node)
    else:
        with pytest.raises(FAILED, match="needs a server"):
            Needs().pytest_runtest_setup(node)


def test_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REQUIRE_ALL, "1")
    with pytest.raises(FAILED, match=f"^needs a browser \\({REQUIRE_ALL} is set\\)$"):
        missing("needs a browser")


def test_every_test_that_needs_a_program_or_a_library_says_so_in_one_way() -> None:
    """Skips of another kind are of the platform: /proc, a CUDA device, oneDNN."""
    tests = Path(__file__).parent
    found = [
        f"{path.relative_to(tests)}:{number}"
        for path in tests.rglob("*.py")
        if path.name not in {"needs.py", Path(__file__).name}
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if "importorskip(" in line or ("skipif(" in line and "which(" in line)
    ]
    assert found == []
