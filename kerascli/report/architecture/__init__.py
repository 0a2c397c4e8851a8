"""Diagrams of models: what they show, their layout, and drawing."""
