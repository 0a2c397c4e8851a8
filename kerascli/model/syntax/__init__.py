"""From the `model` section as it is written to nodes, with a fault for everything that does not fit."""
