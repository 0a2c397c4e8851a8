"""Profile a training run: the time of its phases (data, forward ...), torch's profiler over a few steps, and advice."""
