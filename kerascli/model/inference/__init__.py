"""Shape inference: a model's modules are built and run on the meta device."""
