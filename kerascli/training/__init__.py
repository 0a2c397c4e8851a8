"""Training, evaluation and prediction with torch: generators of events; nothing is printed or written here."""
