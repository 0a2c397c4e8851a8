"""Vocabularies from files, and regular expressions under limits of time and memory."""
