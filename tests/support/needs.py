"""Programs and libraries that a test needs: a test is skipped where one is missing, and fails where all must be there.

`KERASCLI_REQUIRE_ALL=1` makes the difference. CI sets it, so that a missing program is noticed instead of skipped.
TensorFlow and JAX are not meant: those tests have the markers keras_tf and keras_jax, and are always skipped without.
"""

import importlib
import os
import shutil
from types import ModuleType
from typing import NoReturn

import pytest

REQUIRE_ALL = "KERASCLI_REQUIRE_ALL"
MARKER = "needs(is_there, reason): a program or a library that the test cannot do without"


def needs(is_there: object, reason: str) -> pytest.MarkDecorator:
    """Mark tests that need what is not on every machine; `reason` names it, and how to get it."""
    return pytest.mark.needs(bool(is_there), reason)


def needs_program(*names: str, reason: str) -> pytest.MarkDecorator:
    """Mark tests that need any one of these programs on PATH."""
    return needs(any(shutil.which(name) for name in names), reason)


def library(name: str) -> ModuleType:
    """Return a module, or skip the test that is running (or fail, see above)."""
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:  # torchvision beside a torch of another build raises the latter
        missing(f"needs {name.partition('.')[0]}: {error}")


def missing(reason: str) -> NoReturn:
    """Skip the test that is running, or fail it where everything must be there."""
    if _is_everything_required():
        pytest.fail(f"{reason} ({REQUIRE_ALL} is set)", pytrace=False)
    pytest.skip(reason)


def takes(seconds: int) -> pytest.MarkDecorator:
    """Mark a test that takes so long, and checks no more than the project's own tools, that CI alone runs it."""
    return needs(_is_everything_required(), f"takes {seconds} s: runs where {REQUIRE_ALL} is set")


def _is_everything_required() -> bool:
    return os.environ.get(REQUIRE_ALL, "0") not in {"", "0"}


class Needs:
    """A plugin that looks at the marks before anything else of a test is set up."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        for mark in item.iter_markers("needs"):
            is_there, reason = mark.args
            if not is_there:
                missing(reason)


needs_a_compiler = needs_program("g++", "clang++", "c++", reason="needs a compiler of C++")
