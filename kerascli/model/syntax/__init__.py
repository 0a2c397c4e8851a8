"""Read the config's `model` section into nodes, with a fault for everything that does not fit."""
