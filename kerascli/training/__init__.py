"""Training, evaluation and prediction with torch, as generators of events; nothing is printed or written to files."""
