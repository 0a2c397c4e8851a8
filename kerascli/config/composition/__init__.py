"""Composition of one config from base configs (`extends`), `--set`, `--flag`, `$` references and plugins."""
