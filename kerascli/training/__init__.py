"""Training, evaluation and prediction over torch objects: generators of events, nothing printed or written."""
