"""Where a training's time goes: marked work added up, torch's profiler over a few steps, and what to do about it."""
