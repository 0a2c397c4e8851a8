"""Lightning, used fairly: no bar, logger, checkpoints or summary, and batches indexed at once, not row by row."""

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler, TensorDataset

from benchmarks.digits import load_digits
from benchmarks.peers import OnEpoch
from benchmarks.peers.torch_models import build
from benchmarks.peers.with_torch import JUDGED_AT_ONCE, images, make_optimizer
from benchmarks.workloads import BATCH, Job


class _Classifier(pl.LightningModule):
    def __init__(self, job: Job) -> None:
        super().__init__()
        self.model = build(job).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.optimizer = job.workload.optimizer
        self.loss_function = nn.CrossEntropyLoss()

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        return self._judge(batch, "")

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        self._judge(batch, "val_")

    def test_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        self._judge(batch, "test_")

    def _judge(self, batch: tuple[Tensor, Tensor], prefix: str) -> Tensor:
        x, y = batch
        logits = self.model(x)
        loss = self.loss_function(logits, y)
        figures = {f"{prefix}loss": loss, f"{prefix}accuracy": (logits.argmax(1) == y).float().mean()}
        self.log_dict(figures, on_step=False, on_epoch=True, batch_size=len(x))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return make_optimizer(self.optimizer, self.model)


class _Tell(pl.Callback):
    def __init__(self, on_epoch: OnEpoch) -> None:
        self.on_epoch = on_epoch

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.on_epoch(float(trainer.callback_metrics["loss"]))


def run(job: Job, on_epoch: OnEpoch) -> float:
    torch.set_flush_denormal(True)
    pl.seed_everything(job.seed)
    digits = load_digits(job)
    validation = _batches(digits.x_val, digits.y_val, shuffle=False) if len(digits.x_val) else None
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, max_epochs=job.epochs, logger=False, callbacks=[_Tell(on_epoch)],
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    classifier = _Classifier(job)
    trainer.fit(classifier, _batches(digits.x, digits.y, shuffle=True), validation)
    results = trainer.test(classifier, _batches(digits.x_test, digits.y_test, shuffle=False), verbose=False)
    return float(results[0]["test_accuracy"])


def _batches(x: np.ndarray, y: np.ndarray, *, shuffle: bool) -> DataLoader:
    dataset = TensorDataset(images(x), torch.from_numpy(y))
    rows = RandomSampler(dataset) if shuffle else SequentialSampler(dataset)
    return DataLoader(
        dataset, sampler=BatchSampler(rows, BATCH if shuffle else JUDGED_AT_ONCE, drop_last=False), batch_size=None
    )
