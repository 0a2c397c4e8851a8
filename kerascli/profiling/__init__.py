"""Profile a training run: time of marked phases, torch's profiler over a few steps, and advice."""
