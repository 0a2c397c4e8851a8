"""Declaration, parsing and explanation of components, sections and expressions of a config."""
