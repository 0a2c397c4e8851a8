"""The picture of a model: what stands in it, where it stands, how it is drawn."""
