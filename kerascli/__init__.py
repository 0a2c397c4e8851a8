"""kerascli: deep learning described, not programmed."""

__version__ = "0.1.0"
