"""The sections `compile` and `fit` (with `train_step` and `phases`), and `model.init_from`."""
