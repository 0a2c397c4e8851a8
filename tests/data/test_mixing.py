"""`data.augment` mixes samples in training batches only, by keyed random numbers, in every execution mode."""

from pathlib import Path

import pytest
import torch
from scipy import stats
from torch import Tensor

from kerascli.config.load import open_config
from kerascli.config.yaml.dump import dump_yaml
from kerascli.data.augmentations import CutMix, MixUp, beta_numbers, order_of
from kerascli.data.base import Field
from kerascli.data.mixing import AUGMENTATIONS, Augmentation, Mixing, mixed_inputs, mixes
from kerascli.foundation import draws
from kerascli.foundation.errors import DataError
from kerascli.runs.index import find_run
from kerascli.runs.record import RunRecord
from kerascli.training.execution_mode import make_runner
from kerascli.training.forward_pass import Eager, largest_difference
from tests.support.runs_harness import go_on, outcome, train, write
from tests.training.test_execution_mode import request_of
from tests.workflow.test_resume import leave

COUNT = 20_000

MIXED = """
seed: 2
data:
  source: {blobs: {rows: 512, features: 64, classes: 3, seed: 3}}
  inputs: {x: [{reshape: [8, 8, 1]}]}
  targets: {y: [{to_categorical: 3}]}
  augment: [{mix_up: 0.4}, cut_mix]
model:
  layers: [flatten, {dense: {units: 3, activation: softmax}}]
compile: {loss: categorical_crossentropy, optimizer: adam, metrics: [accuracy]}
fit: {epochs: 4, batch_size: 16, validation_split: 0.2}
"""

GAN = """
data:
  source: {blobs: {rows: 64, features: 16, classes: 3, seed: 1}}
  inputs: {x: [{reshape: [4, 4, 1]}]}
  augment: [mix_up]
model:
  shared:
    judge: {inputs: {image: [4, 4, 1]}, layers: [flatten, {dense: 1}]}
  outputs: judge
fit:
  epochs: 1
  train_step:
    - name: critic
      train: judge
      optimizer: sgd
      layers: [{judge: {inputs: x, name: on_real}}]
      loss: {real: {loss: mse, y_true: 1, y_pred: on_real}}
"""


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0, 6.0])
def test_shares_are_beta_distributed(alpha: float) -> None:
    like = torch.empty(COUNT, dtype=torch.float64)
    with draws.using(draws.Draws(0, "test", 0)):
        numbers = [beta_numbers(like, alpha), beta_numbers(like, torch.tensor(alpha, dtype=torch.float64))]
    for found in numbers:
        less = found[found < 0.5]  # of the others those next to 1 are 1, in any precision
        assert abs(len(less) / COUNT - 0.5) < 2.5 / COUNT**0.5
        assert stats.kstest(less.numpy(), lambda x: 2 * stats.beta(alpha, alpha).cdf(x)).pvalue > 1e-3
    assert abs(torch.corrcoef(torch.stack(numbers))[0, 1]) < 5 / COUNT**0.5


def test_an_order_has_every_sample_once_and_each_place_is_as_likely() -> None:
    like, times, size = torch.empty(6), 3000, 6
    counts = torch.zeros(size, size)
    for seed in range(times):
        with draws.using(draws.Draws(seed, "test", 0)):
            order = order_of(like)
        assert sorted(order.tolist()) == list(range(size))
        counts[torch.arange(size), order] += 1
    assert (counts - times / size).abs().max() < 5 * (times / size) ** 0.5


@pytest.mark.parametrize(("factor", "low", "high"), [(1.0, 0, 1), ((0.25, 0.75), 0.25, 0.75), (0.0, 0, 0)])
def test_the_alpha_of_cut_mix_is_one_for_a_batch_and_uniform_between_its_bounds(factor, low, high, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(
        "kerascli.data.augmentations.beta_numbers",
        lambda like, alpha: seen.append(alpha) or like.new_ones(len(like)),
    )
    for seed in range(400):
        with draws.using(draws.Draws(seed, "test", 0)):
            CutMix(factor=factor).draw(torch.zeros(2, 4, 4, 1))
    found = torch.stack(seen).double()
    assert found.shape == (400,)
    assert low <= found.min()
    assert found.max() <= high + 2e-6
    if low < high:
        assert stats.kstest(found.numpy(), stats.uniform(low, high - low).cdf).pvalue > 1e-3


def test_boxes_lie_in_the_image_and_anywhere_in_it() -> None:
    with draws.using(draws.Draws(0, "test", 0)):
        found = CutMix().draw(torch.zeros(COUNT, 6, 10, 1))
    for ways in (found.across, found.down):
        assert stats.kstest(ways.double().numpy(), stats.uniform(0, 1).cdf).pvalue > 1e-3
    ways = torch.stack([found.across, found.down, found.stays])
    assert torch.corrcoef(ways).fill_diagonal_(0).abs().max() < 5 / COUNT**0.5


def test_what_is_cut_out_is_what_the_labels_lose() -> None:
    """On fine-grained images, the share of changed pixels is the share of the other label."""
    images = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 200, 300, 1)
    with draws.using(draws.Draws(4, "test", 0)):
        numbers = CutMix().draw(images)
    mixed = CutMix().mix_images(images, numbers)
    labels = CutMix().mix_targets(torch.eye(6), images, numbers)
    shares = torch.stack([(mixed == number).float().mean((1, 2, 3)) for number in range(6)], 1)
    assert (shares > 0.05).sum() > 6
    torch.testing.assert_close(shares, labels, atol=0.01, rtol=0)


@pytest.mark.parametrize("step", [CutMix(), MixUp(alpha=1.0)])
def test_masks_and_single_numbers_are_mixed_as_the_images_and_keep_their_shape(step: Augmentation) -> None:
    masks = torch.rand(6, 5, 7, 1)
    images = masks.expand(-1, -1, -1, 3)
    with draws.using(draws.Draws(1, "test", 0)):
        numbers = step.draw(images)
    mixed = step.mix_images(images, numbers)
    assert not torch.equal(mixed, images)
    torch.testing.assert_close(step.mix_targets(masks, images, numbers), mixed[..., :1])
    one = torch.arange(6.0)
    assert torch.equal(step.mix_targets(one, images, numbers), step.mix_targets(one[:, None], images, numbers)[:, 0])


def test_outside_of_training_nothing_is_mixed_and_nothing_is_drawn() -> None:
    step = mixes([MixUp()], {"x": Field((4, 4, 1), "float32")}, {"y": Field((3,), "float32")})
    inputs, targets = {"x": torch.rand(2, 4, 4, 1)}, {"y": torch.rand(2, 3)}
    found = Mixing(step).eval()(inputs, targets)
    assert found == (inputs, targets)


def test_a_seed_of_its_own_changes_the_numbers_and_two_steps_draw_different_ones() -> None:
    fields = {"x": Field((4, 4, 1), "float32")}
    images = torch.rand(8, 4, 4, 1)

    def mixed(*steps: MixUp) -> Tensor:
        with draws.using(draws.Draws(0, "test", 0)):
            return Mixing(mixes(steps, fields, {})).train()({"x": images}, {})[0]["x"]

    once, again, other, twice = (
        mixed(*steps)
        for steps in ([MixUp(alpha=1.0)], [MixUp(alpha=1.0)], [MixUp(alpha=1.0, seed=1)], [MixUp(alpha=1.0)] * 2)
    )
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert not torch.equal(once, twice)


def test_images_that_are_mixed_together_share_their_numbers_and_the_rest_stays() -> None:
    image = torch.rand(8, 4, 4, 1)
    inputs = {"a": image, "b": image.clone(), "c": image.clone(), "size": torch.rand(8, 2)}
    targets = {"y": torch.rand(8, 3), "z": torch.rand(8)}
    fields = {name: Field(tuple(x.shape[1:]), "float32") for name, x in {**inputs, **targets}.items()}
    step = AUGMENTATIONS.parse({"cut_mix": {"inputs": ["a", "b"], "targets": "y"}})
    mixing = Mixing(mixes([step], {n: fields[n] for n in inputs}, {n: fields[n] for n in targets})).train()
    with draws.using(draws.Draws(0, "test", 0)):
        found, labels = mixing(inputs, targets)
    assert torch.equal(found["a"], found["b"])
    assert not torch.equal(found["a"], image)
    assert (found["c"] is inputs["c"], found["size"] is inputs["size"], labels["z"] is targets["z"]) == (True,) * 3
    assert not torch.equal(labels["y"], targets["y"])


def test_integers_become_floats_in_training_and_for_the_model() -> None:
    images, targets = {"x": Field((4, 4, 1), "uint8")}, {"y": Field((), "float32")}
    assert mixed_inputs([MixUp()], images, targets)["x"].dtype == "float32"
    with draws.using(draws.Draws(0, "test", 0)):
        found, labels = Mixing(mixes([MixUp()], images, targets)).train()(
            {"x": torch.full((3, 4, 4, 1), 200, dtype=torch.uint8)}, {"y": torch.ones(3)}
        )
    torch.testing.assert_close(found["x"], torch.full((3, 4, 4, 1), 200.0))
    torch.testing.assert_close(labels["y"], torch.ones(3))


@pytest.mark.parametrize(
    ("inputs", "targets", "said"),
    [
        ({"a": (8, 8, 1), "b": (4, 8, 1)}, {}, "input 'b' is of another size, (4, 8), than the first images, (8, 8)"),
        ({"a": (8, 8, 1)}, {"y": (4, 4, 1)}, "target 'y' is neither a vector nor of the images' height and width"),
        ({"a": (8, 8, 1)}, {"y": (5, 3)}, "target 'y' is neither a vector nor of the images' height and width"),
    ],
)
def test_what_has_no_place_for_the_box_is_refused(inputs, targets, said) -> None:
    fields = [{name: Field(shape, "float32") for name, shape in part.items()} for part in (inputs, targets)]
    with pytest.raises(DataError) as caught:
        mixes([CutMix()], *fields)
    assert said in str(caught.value)


def test_a_program_of_a_step_mixes_as_the_module_does(tmp_path: Path) -> None:
    request, _ = request_of(write(tmp_path, MIXED), "fit.validation_split=0")
    run, mode = make_runner(request)
    assert mode.value == "traced"
    module = Eager(request.forward_pass)
    results = []
    for number, batch in enumerate(request.batches):
        found, wanted = (each(batch, draws.Draws(7, "train", number)) for each in (run, module))
        assert largest_difference(found, wanted) < 1e-5
        results.append(found.totals[0].item())
    plain, _ = request_of(write(tmp_path, MIXED.replace("augment: [{mix_up: 0.4}, cut_mix]", "augment: []")))
    without = Eager(plain.forward_pass)(plain.batches[0], draws.Draws(7, "train", 0))
    assert without.totals[0].item() != pytest.approx(results[0])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """Run with mixed samples that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    return train(write(folder, MIXED), folder)[0]


@pytest.mark.parametrize("stop_at", [11, 26, 27])
def test_a_run_that_mixes_resumes_exactly(tmp_path: Path, stop_at: int, whole: RunRecord) -> None:
    config = write(tmp_path, MIXED)
    leave(config, tmp_path / "left", stop_at)
    left = find_run("latest", tmp_path / "left")
    go_on(left)
    assert outcome(left) == outcome(whole)


def test_what_is_recorded_reads_back_as_it_was(tmp_path: Path) -> None:
    run, _ = train(write(tmp_path, MIXED), tmp_path / "runs", ["fit.epochs=1"])
    again = open_config(run.resolved_path)
    assert again.data == open_config(write(tmp_path, MIXED)).data
    assert again.data is not None
    assert "mix_up" in dump_yaml(again.data.dump())


def test_updates_without_targets_see_mixed_images(tmp_path: Path) -> None:
    losses = [
        train(write(tmp_path, text), tmp_path / name)[0].history()[0]["critic_loss"]
        for name, text in (("mixed", "seed: 1" + GAN), ("plain", "seed: 1" + GAN.replace("augment: [mix_up]", "")))
    ]
    assert losses[0] != losses[1]
