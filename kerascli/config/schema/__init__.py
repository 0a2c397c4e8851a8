"""Config language as data for editors and `explain`: JSON Schema, settings, descriptions."""
