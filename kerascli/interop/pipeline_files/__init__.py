"""Pipeline files: a run's preprocessing and class names as JSON, for other programs and for `import --pipeline`."""
