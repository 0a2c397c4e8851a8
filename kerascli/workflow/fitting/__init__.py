"""Parts of a training run: its phases, the loop over them, and the recorder."""
