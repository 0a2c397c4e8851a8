"""Before anything is imported: Keras computes with torch, pictures need no screen."""

import os

os.environ["KERAS_BACKEND"] = "torch"
os.environ["MPLBACKEND"] = "Agg"
