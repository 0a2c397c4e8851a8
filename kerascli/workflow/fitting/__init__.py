"""The parts of a training run: phases, run loop, recorder."""
