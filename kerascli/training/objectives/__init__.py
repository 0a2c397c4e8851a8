"""What is computed in a training step: losses and metrics, as modules that take a batch."""
