"""Workloads of the benchmarks: a config each, which every peer trains on the arrays that `arrays.py` makes."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONFIGS = Path(__file__).parent / "configs"
EPOCHS = 30
"""Number of epochs of a training run by default."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A model with its data; its config is `configs/NAME.yaml`, in PyTorch's words it is in `peers/`."""

    title: str
    rows: int
    """Rows of an epoch."""
    quick_rows: int
    """Rows of an epoch with --quick: two batches."""
    in_keras: bool = True
    """True if the model can be exported as a `.keras` file, which formulas and several optimizers prevent."""
    in_torch: bool = True


WORKLOADS = {
    "resnet20": Workload("ResNet-20, 32 x 32 pixels, batch 128", 512, 256),
    "transformer": Workload("transformer encoder, two blocks of 128, 64 tokens, batch 64", 1_024, 128),
    "masked_lstm": Workload("embedding with masks, LSTM 128, 80 tokens, batch 64", 2_048, 128),
    "bidirectional_gru": Workload("two bidirectional GRUs of 64, 100 steps, batch 64", 1_024, 128),
    "unet": Workload("U-Net, 64 x 64 pixels, batch 16", 128, 32),
    "separable_cnn": Workload("depthwise separable CNN, 32 x 32 pixels, batch 64", 1_024, 128),
    "table": Workload("table: ten embeddings, dense 256-128, batch 256", 51_200, 512),
    "text_cnn": Workload("text CNN, conv_1d 250 over 400 tokens, batch 32", 1_024, 64),
    "conv_lstm": Workload("conv_lstm_2d 16 over 10 frames of 20 x 20, batch 16", 192, 32),
    "autoencoder": Workload("convolutional autoencoder, 28 x 28 pixels, batch 128", 2_048, 256),
    "mlp": Workload("MLP 64-64, batch 32 (overhead of a step)", 16_000, 64),
    "two_lstms": Workload("two LSTMs of 128, 50 steps, batch 64", 1_024, 128),
    "masked_attention": Workload("attention with masks, 80 tokens, batch 64", 2_048, 128),
    "densenet": Workload("DenseNet, 12 layers of 12 filters, 32 x 32 pixels, batch 64", 512, 128),
    "vae": Workload("variational autoencoder with formulas, batch 128", 6_400, 256, in_keras=False),
    "gan": Workload("step of a GAN, 28 x 28 pixels, batch 64", 512, 128, in_keras=False),
    "turing_machine": Workload("neural Turing machine, batch 32", 256, 64, in_keras=False, in_torch=False),
    "mnist_mlp": Workload("MLP of mnist_mlp.yaml, 48,000 digits, validation on 12,000, batch 128", 60_000, 16_000),
}
TWELVE = tuple(WORKLOADS)[:12]
"""The works whose geometric means are given."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a process is asked to train; it travels as JSON on the command line."""

    peer: str
    work: str
    folder: str
    """Folder that `prepare` has filled: data.npz for kerascli, arrays.npz and model.keras for the others."""
    epochs: int = EPOCHS
    seed: int = 1
    threads: int | None = None
    """Value of kerascli's `--threads`."""

    @property
    def config(self) -> Path:
        """Config of the work; that of digits is an example of the documentation."""
        return ROOT / "configs" / "mnist_mlp.yaml" if self.work == "mnist_mlp" else CONFIGS / f"{self.work}.yaml"

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Job":
        return cls(**json.loads(text))
