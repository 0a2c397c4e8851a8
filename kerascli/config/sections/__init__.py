"""The sections `compile` and `fit`, the weights a model begins with, updates and phases."""
