"""How a component, a section and an expression of a config are declared, checked and explained."""
