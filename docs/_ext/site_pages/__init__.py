"""Pages of the documentation that are written from the registries, the schema, the configs and the source files."""
