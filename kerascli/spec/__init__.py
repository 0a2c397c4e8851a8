"""The config: text with positions, references, reuse and overrides, then checked data."""
