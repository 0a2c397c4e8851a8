"""A sample of the hostile files of `python -m benchmarks.torture.hostile`, and the limits they run into."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.torture.hostile import all_attacks
from tests.support.processes import forked_kerascli

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="limits and measures are Linux's")

SAMPLE = (
    "npz_bomb", "npz_header_bomb", "npz_pickle", "npy_100_axes", "parquet_bomb", "png_169_megapixels", "png_pipe",
    "csv_endless", "csv_escapes", "regex_deep", "yaml_aliases", "yaml_escapes", "yaml_loop",
    "yaml_long_path", "extends_passwd", "extends_secrets", "extends_link", "weights_pickle_renamed",
    "weights_says_more", "run_json_pipe", "run_json_deep", "run_config_passwd", "init_from_pipe",
)  # fmt: skip


_DRIVER = """
import sys
from benchmarks.torture.hostile import main
for arguments in (sys.argv[1:], ["png_169_megapixels", "--control"]):
    sys.argv[1:] = ["--only", *arguments]
    print("exit code", main(), flush=True)
"""
"""Two runs in one process: what takes long is to load what a child needs."""


def test_hostile_files_are_refused_in_words_at_little_cost_and_without_caps_a_reader_is_seen_to_fail() -> None:
    run = subprocess.run(
        [sys.executable, "-c", _DRIVER, *SAMPLE], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.stdout.count("exit code 0\n") == 2, run.stdout + run.stderr
    assert re.search("WRONG: .*MiB of memory", run.stdout.partition("exit code 0")[2])


def test_there_are_enough_hostile_files() -> None:
    assert len(all_attacks()) >= 100


@pytest.mark.parametrize("kind", ["packed", "plain"])
def test_what_packs_too_well_can_be_stored_unpacked(kind: str, tmp_path: Path) -> None:
    """Storing the data uncompressed is what the refusal's hint suggests."""
    save = np.savez_compressed if kind == "packed" else np.savez
    save(tmp_path / "d.npz", x=np.zeros((260, 2**20), np.uint8), y=np.zeros(260, np.int64))
    (tmp_path / "c.yaml").write_text(
        "data: {source: {npz: d.npz}, inputs: {x: []}, targets: {y: []}}\n"
        "model: {layers: [{dense: 2}]}\ncompile: {loss: sparse_categorical_crossentropy}\n"
    )
    run = forked_kerascli("validate", "c.yaml", cwd=tmp_path)
    assert run.returncode == (4 if kind == "packed" else 0), run.stderr
    assert ("200 to 1" in run.stderr) == (kind == "packed")
