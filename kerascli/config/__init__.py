"""Reading of YAML configs: positions, references, `extends`, overrides, and the checks of every section."""
