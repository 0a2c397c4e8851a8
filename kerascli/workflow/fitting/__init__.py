"""Parts of a training run: its phases, the training loop over them, and the recorder that writes the run's folder."""
