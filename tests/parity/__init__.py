"""Every component beside Keras's own: the same numbers, or a reason in `ledger.LEFT_OUT`."""
