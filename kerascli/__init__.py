"""kerascli: trains PyTorch models from one YAML file in Keras's terms."""

__version__ = "0.1.0"
