"""Models and weights from other programs, and for them."""
