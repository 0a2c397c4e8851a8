"""Files: atomic writes, size-limited reads of untrusted files, and locks."""
