"""The language as facts for editors and the reference: JSON Schema, settings, meanings."""
