"""Studies: folders of trials that `tune` trains, the points of their search space, and what is pruned."""
