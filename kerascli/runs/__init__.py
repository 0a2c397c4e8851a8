"""Run folders: what is recorded of a training, where, and how it is found again. No torch here."""
