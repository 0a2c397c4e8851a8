"""The cache folder of torch's compiler exists when that is imported, whatever the system allows."""

import os
from pathlib import Path

import pytest

from kerascli.compiler.cache import existing_cache, use_own_cache

VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


def test_a_cache_that_cannot_be_created_is_replaced_by_a_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container whose home is read-only; here a file is where a folder should be."""
    (tmp_path / "home").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(VARIABLE, "")  # what is set below goes with the test
    monkeypatch.delenv(VARIABLE)
    use_own_cache()
    refused = os.environ[VARIABLE]
    with existing_cache():
        temporary = Path(os.environ[VARIABLE])
        assert temporary.is_dir()
    assert os.environ[VARIABLE] == refused
    assert not temporary.exists()


def test_a_cache_that_can_be_created_is_private_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "compiled"))
    with existing_cache():
        assert os.environ[VARIABLE] == str(tmp_path / "compiled")
    assert (tmp_path / "compiled").stat().st_mode & 0o077 == 0
