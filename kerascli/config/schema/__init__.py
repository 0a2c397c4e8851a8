"""The config language as data, for editors and the command `explain`: JSON Schema, settings, descriptions."""
