"""Code that import and export of Keras files share: names, HDF5 groups of weights, archives, and reading of HDF5
files."""
