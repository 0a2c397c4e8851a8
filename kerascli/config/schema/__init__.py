"""The config language as data, for editors and the `explain` command: JSON Schema, settings, descriptions."""
