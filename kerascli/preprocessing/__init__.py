"""What is both a layer and a data transform: the arithmetic, in one place."""
