"""The benchmarks measure equal work, alternate fairly, and survive a peer library that fails."""

import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import __main__ as program
from benchmarks import epochs, processes, whole
from benchmarks.arrays import load_arrays
from benchmarks.epochs import in_turn, take_turns
from benchmarks.machine import environment
from benchmarks.outcomes import Outcome, best_rival, outcome_table, overview, ratio_table, ratios, table
from benchmarks.peers import load, takes_part
from benchmarks.prepare import prepare
from benchmarks.processes import Died, Worker
from benchmarks.workloads import ROOT, WORKLOADS, Job
from benchmarks.yardsticks import nats, of_penguins
from kerascli.workflow.check import check

BIASES = {"masked_lstm": 4 * 128, "two_lstms": 2 * 4 * 128}
"""Additional parameters of torch's LSTMs, which have two biases where Keras's have one."""


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _prepared("mnist_mlp", tmp_path_factory.mktemp("digits"), 320)


def _prepared(work: str, folder: Path, rows: int, *peers: str) -> Path:
    prepare(Job("kerascli-traced", work, str(folder)), rows, ["kerascli-traced", "pytorch", *peers])
    return folder


def test_every_round_has_everyone_once_and_nobody_always_comes_first_or_after_the_same() -> None:
    members = list("abcd")
    rounds = [in_turn(members, number) for number in range(8)]
    assert all(sorted(order) == members for order in rounds)
    assert set(Counter(order[0] for order in rounds).values()) == {2}
    before_a = {order[order.index("a") - 1] for order in rounds if order[0] != "a"}
    assert before_a == {"b", "d"}
    assert in_turn([], 3) == []


def test_ratios_are_those_of_medians_and_leave_out_who_failed() -> None:
    found = [
        Outcome("kerascli-traced", [4.0, 1.0, 2.0]),
        Outcome("keras-jax", [4.0, 4.0, 400.0]),
        Outcome("keras-torch", [0.1], error="ImportError"),
        Outcome("pytorch", [1.0]),
    ]
    assert ratios(found) == {"kerascli-traced / keras-jax": 0.5, "kerascli-traced / pytorch": 2.0}
    best = best_rival(found)
    assert best is not None
    assert best.peer == "pytorch"


def test_a_table_leads_with_the_fastest_and_ends_with_who_failed() -> None:
    found = [
        Outcome("pytorch", [2.0], first=3.0, loss=0.5, peak_mib=1000.4),
        Outcome("kerascli-traced", [1.0, 1.5, 0.5], first=2.0, loss=0.25, peak_mib=500.2),
        Outcome("keras-torch", error="ImportError: no module"),
    ]
    assert outcome_table(found, "seconds") == textwrap.dedent("""\
        | seconds             | median |   min |   max | rounds | / best peer | first |   loss | peak MiB |
        |---------------------|-------:|------:|------:|-------:|------------:|------:|-------:|---------:|
        | **kerascli-traced** |  1.000 | 0.500 | 1.500 |      3 |        0.50 | 2.000 | 0.2500 |      500 |
        | pytorch             |  2.000 | 2.000 | 2.000 |      1 |        1.00 | 3.000 | 0.5000 |    1,000 |

        keras-torch failed: `ImportError: no module`""")
    assert ratio_table({"unet": found}).splitlines()[2] == "| kerascli-traced / pytorch | 0.50 |"


def test_columns_that_nobody_fills_are_left_out() -> None:
    found = outcome_table([Outcome("kerascli-traced", [0.25])], "seconds")
    assert found.splitlines()[0] == "| seconds             | median |   min |   max | rounds |"


def test_a_job_survives_the_command_line() -> None:
    job = Job("kerascli-traced", "unet", "some folder", epochs=3, seed=7)
    assert Job.from_json(job.to_json()) == job


FAKE = """
import sys
from benchmarks.child import serve

name, diary, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3])

def run(on_epoch):
    for epoch in range(epochs):
        with open(diary, "a") as file:
            print(name, file=file)
        on_epoch(1 / (epoch + 1))
    raise SystemExit("all is lost")

serve(run, sys.stdin, sys.stdout)
"""


def _fake(name: str, diary: Path, *, epochs: int) -> Worker:
    return Worker([sys.executable, "-c", FAKE, name, str(diary), str(epochs)], environment(diary.parent))


def test_workers_train_when_it_is_their_turn_and_one_that_dies_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epochs, "stolen_seconds", lambda: 0.0)
    diary = tmp_path / "diary"
    with _fake("a", diary, epochs=9) as a, _fake("b", diary, epochs=3) as b, _fake("c", diary, epochs=9) as c:
        found = take_turns({"a": a, "b": b, "c": c}, rounds=3, settle=0.0)
    # b has three epochs in it: it is asked for a fourth in round 2, and dies of it
    assert diary.read_text(encoding="utf-8").split() == [*"abc", *"bbccaa", *"ccaa", *"aacc"]
    assert [each.error for each in found] == [None, "all is lost", None]
    assert [len(each.seconds) for each in found] == [3, 1, 3]
    assert all(each.first is not None for each in found)
    assert [each.loss for each in found] == [1 / 7, 1 / 3, 1 / 7]
    assert all(each.peak_mib is not None and each.peak_mib > 1 for each in (found[0], found[2]))


def test_an_epoch_is_repeated_while_the_host_gives_the_cores_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 9.0, 9.0, 9.0])  # nine seconds in the first epoch that is measured, none in the next one
    monkeypatch.setattr(epochs, "stolen_seconds", lambda: next(clock))
    diary = tmp_path / "diary"
    with _fake("a", diary, epochs=9) as worker:
        (found,) = take_turns({"a": worker}, rounds=1, settle=0.0)
    assert diary.read_text(encoding="utf-8").split() == [*"aaaa"]  # to warm up, to settle, and twice measured
    assert (len(found.seconds), found.stolen, found.loss) == (1, 0.0, 1 / 4)


def test_a_worker_that_cannot_even_start_is_a_finding(tmp_path: Path) -> None:
    with Worker([sys.executable, "-c", "import nothing_like_this"], environment(tmp_path)) as worker:
        (found,) = take_turns({"keras-jax": worker}, rounds=1, settle=0.0)
    assert found.error == "ModuleNotFoundError: No module named 'nothing_like_this'"


SMALL_DRIVER = """
import os, sys
from benchmarks import processes

for code in ("print('hello')", "x = bytearray(128 << 20)"):
    found = processes.run([sys.executable, "-c", code], os.environ)
    print(found.peak_mib, found.stdout.strip())
"""


def test_a_whole_process_is_measured_with_its_memory(tmp_path: Path) -> None:
    # from a process that holds little, as the driver does: a child counts what its parent held
    said = processes.run([sys.executable, "-c", SMALL_DRIVER], environment(tmp_path)).stdout
    (small, hello), (large,) = (line.split() for line in said.splitlines())
    assert hello == "hello"
    assert float(small) < 40
    assert 128 < float(large) < 160


def test_a_process_that_fails_is_reported_by_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(Died) as caught:
        processes.run(
            [sys.executable, "-c", "raise SystemExit('so\\nit ends\\n\\nhint: do not')"], environment(tmp_path)
        )
    assert str(caught.value) == "it ends"


def test_what_should_have_been_compiled_and_was_not_is_no_metric(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('execution mode: traced (no compiler)', file=sys.stderr)"]
    program = whole.Program(command, lambda: environment(tmp_path))
    names = ("kerascli-compiled-warm", "kerascli-traced", "pytorch")
    compiled, *others = whole.run_all(dict.fromkeys(names, program), rounds=1, settle=0.0)
    assert compiled.error == "not compiled: execution mode: traced (no compiler)"
    assert [other.error for other in others] == [None, None]


def test_the_last_fifth_is_held_out_and_pixels_go_from_0_to_1(digits: Path) -> None:
    splits, batch = load_arrays(Job("pytorch", "mnist_mlp", str(digits)))
    shapes = {name: next(iter(split.inputs.values())).shape for name, split in splits.items()}
    assert (shapes, batch) == ({"train": (256, 784), "validation": (64, 784), "test": (10_000, 784)}, 128)
    x = next(iter(splits["train"].inputs.values()))
    assert (x.min(), x.max()) == (0.0, 1.0)


@pytest.mark.parametrize("work", WORKLOADS)
def test_all_peers_train_a_model_of_the_same_size(work: str, tmp_path: Path) -> None:
    import keras

    from benchmarks.peers import torch_models

    chosen = WORKLOADS[work]
    _prepared(work, tmp_path, 32, *(["keras-torch"] if chosen.in_keras else []))
    told = check(Job("", work, "").config, sets=[f"data.source.npz.path={tmp_path / 'data.npz'}"], flags=[]).lines[1]
    ours = int(told.rpartition(", ")[2].removesuffix(" parameters").replace(",", ""))
    if chosen.in_keras:
        model: Any = keras.models.load_model(tmp_path / "model.keras")
        assert model.count_params() == ours
    if chosen.in_torch:
        objective = torch_models.build(work)
        moving = sum(each.numel() for each in objective.buffers() if each.is_floating_point())
        count = sum(each.numel() for each in objective.parameters()) + moving
        assert count == ours + BIASES.get(work, 0)


@pytest.mark.parametrize("peer", ["kerascli-traced", "pytorch"])
def test_a_peer_tells_of_every_epoch_and_learns(peer: str, digits: Path) -> None:
    losses: list[float] = []
    load(peer)(Job(peer, "mnist_mlp", str(digits), epochs=4), losses.append)
    assert len(losses) == 4
    assert losses[-1] < losses[0]


def test_a_peer_does_not_find_other_backends_and_others_do_not_take_them_for_loaded() -> None:
    code = (
        "import importlib.util, sys\nfrom benchmarks.peers import hide\nhide('keras-jax')\n"
        "try: import torch\n"
        "except ModuleNotFoundError: print(importlib.util.find_spec('torch'), 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert run.stdout.strip() == "None False"


def test_the_overview_compares_auto_with_the_best_of_the_others() -> None:
    ours = Outcome("kerascli-auto", [1.0], mode="traced", peak_mib=300.0)
    found = [ours, Outcome("kerascli-compiled", [0.5]), Outcome("keras-jax", [2.0]), Outcome("keras-torch", [4.0])]
    rows = overview({"mlp": [*found, Outcome("pytorch", [0.8], peak_mib=200.0)], "unet": found}).splitlines()
    names = [cell.strip() for cell in rows[0].split("|")]
    cells = dict(zip(names, (cell.strip() for cell in rows[2].split("|")), strict=True))
    assert (cells["auto is"], cells["auto / best Keras"], cells["auto / best PyTorch"]) == ("traced", "0.50", "1.25")
    assert (cells["auto / best own mode"], cells["auto / PyTorch, memory"]) == ("2.00", "1.50")
    assert rows[-1].startswith("| geometric mean of the 2 |")


def test_models_of_formulas_are_left_to_those_that_can_train_them() -> None:
    assert [peer for peer in ("kerascli-auto", "pytorch", "keras-jax") if takes_part(peer, WORKLOADS["vae"])] == [
        "kerascli-auto", "pytorch",
    ]  # fmt: skip


def test_a_table_needs_no_renderer() -> None:
    assert table(["name", "n"], [["a", "1"], ["bcdef", "20"]]) == textwrap.dedent("""\
        | name  |  n |
        |-------|---:|
        | a     |  1 |
        | bcdef | 20 |""")


@pytest.mark.parametrize(
    "arguments",
    [
        ["whole", "--works", "unet"],
        ["epochs", "--epochs", "3"],
        ["--peers", "lightning"],
        ["--rounds", "0"],
        ["--rounds", "30"],
        ["memory"],
    ],
)
def test_no_option_is_ignored_in_silence(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    with pytest.raises(SystemExit, match="2"):
        program.main()
    assert "error" in capsys.readouterr().err


def test_a_yardstick_of_pictures_is_their_crossentropy() -> None:
    black, grey = np.zeros((2, 3)), np.full((2, 3), 0.5)
    assert nats(grey, grey) == nats(black, grey) == pytest.approx(3 * np.log(2))
    assert nats(black, black) == pytest.approx(0, abs=1e-5), "but for the distance from 0 that Keras keeps"


def test_the_yardsticks_of_penguins_are_those_of_their_test_rows() -> None:
    figures = [float(figure.removesuffix(" %")) for figure, _ in of_penguins()]
    most_frequent, linear, without_mass, mean, fitted = figures
    assert most_frequent < without_mass <= linear <= 100
    assert 0 < fitted < mean < 1
