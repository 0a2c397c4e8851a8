"""From specs to torch objects: the objective, the updates, the experiment."""
