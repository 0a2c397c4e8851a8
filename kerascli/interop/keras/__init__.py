"""Code that import and export of Keras files share: names, groups of weights, archives and HDF5."""
