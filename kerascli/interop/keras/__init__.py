"""What import and export of Keras's files share: names, places of weights, archives, HDF5."""
