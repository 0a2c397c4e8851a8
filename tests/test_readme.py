"""The README's first session is typed as it stands, in a folder with the example configs."""

import re
import shutil
from pathlib import Path

from tests.support.guides import Session

ROOT = Path(__file__).parent.parent


def test_the_session_with_a_table_prints_what_it_shows(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = re.search(r"^## A table, in five lines$(.+?)^## ", text, re.M | re.S)
    assert section is not None
    shutil.copytree(ROOT / "configs", tmp_path / "clone" / "configs")
    session = Session(tmp_path / "clone")
    session.play(section[1])
    assert not session.faults, "\n\n".join(session.faults)
    assert section[1].count("\n$ kerascli ") == 5
