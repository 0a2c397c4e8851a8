"""Scripts that try to break kerascli: hostile files, mutated configs, crashes, damage, signals."""
