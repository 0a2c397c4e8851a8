"""Diagrams of models: their content (boxes and edges), its layout, and its drawing as an image or text."""
