"""The intermediate representation: a model as frozen nodes, and the checks that need no shapes."""
