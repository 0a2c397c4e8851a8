"""Configs that `kerascli init` writes, unchanged, beside scikit-learn's default models on the same rows."""
