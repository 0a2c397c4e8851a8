"""Preprocessing that is both a data transform and a layer, and the transform `feature_space`, which combines it."""
