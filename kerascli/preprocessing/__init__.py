"""Preprocessing shared by layers and data transforms."""
