"""Reading of configs: YAML with the position of each value, references, `extends` and overrides, and the checks of
every section."""
