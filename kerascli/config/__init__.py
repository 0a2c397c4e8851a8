"""Reading of configs: YAML with places, references, `extends` and overrides, and the checks of every section."""
