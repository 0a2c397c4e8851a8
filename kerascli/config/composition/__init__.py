"""Composition of one config from several sources: `extends`, `--set`, `--flag`, references, plugins."""
