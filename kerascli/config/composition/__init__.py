"""One document from several texts: `extends`, `--set`, `--flag`, references, plugins."""
