"""The benchmark of tables: its table has the columns that its config uses, and ratios are within a round."""

from pathlib import Path

import pytest

from benchmarks.tables import WORDS, measure, report, write_table
from kerascli.config.data import load_config_data
from kerascli.config.load import open_config
from tests.support.needs import library


def test_all_is_timed_in_turn_on_a_table_that_prepares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    library("pyarrow")
    config = write_table(tmp_path, 2000)
    data = load_config_data(open_config(config))
    assert data.facts.inputs.keys() == {"numbers", *WORDS}
    found = measure(config, 2000, 1)
    assert {len(seconds) for seconds in found.values()} == {1}
    assert len(report(found)) == 2 + len(found)


def test_ratios_are_those_within_a_round() -> None:
    lines = report({"pyarrow.csv.read_csv": [(1.0, 1.0), (4.0, 2.0)], "mine": [(3.0, 2.0), (12.0, 4.0)]})
    assert lines[-1] == "| mine | 7.50 | 3.00 | 3.00 | 2.00 |"
