"""Shared by import and export of Keras files: names, groups of weights, archives and HDF5."""
