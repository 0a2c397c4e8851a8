"""Keras's learning rate schedules."""
