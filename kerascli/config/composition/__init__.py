"""Composition of one config from several sources: base configs (`extends`), `--set`, `--flag`, references
and plugins."""
