"""The config: text with places, references, `extends` and overrides, then every section checked."""
