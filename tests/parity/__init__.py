"""Comparison of every component with Keras's: equal values, or a reason in `ledger.LEFT_OUT`."""
