"""The intermediate representation: a model as frozen nodes, and what is true of it whatever its shapes."""
