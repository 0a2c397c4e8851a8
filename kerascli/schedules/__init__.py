"""Learning rate schedules of Keras."""
