"""Graphs: a model section becomes nodes, nodes become shapes, weights and one module that runs them."""
