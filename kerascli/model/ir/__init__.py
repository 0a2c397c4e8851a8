"""Intermediate representation of a model, as immutable nodes, and the checks that need no shapes."""
