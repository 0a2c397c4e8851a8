"""Shape inference for models: their modules are built, and run on the meta device."""
