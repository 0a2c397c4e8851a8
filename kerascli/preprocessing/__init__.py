"""Computations of preprocessing: image operations, hash functions, and the encoding of category ids as vectors."""
