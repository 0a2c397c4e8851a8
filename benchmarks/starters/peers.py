"""scikit-learn's default models for each kind of data; inputs are scaled where a model needs it."""

from typing import Any

from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import MultinomialNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def peers(kind: str, seed: int, *, classes: bool) -> dict[str, Any]:
    """Return models by name; only `random_state` and, so that they converge, `max_iter` are not their defaults."""
    if kind == "texts":
        return {
            "logistic": make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000)),
            "forest": make_pipeline(TfidfVectorizer(), RandomForestClassifier(random_state=seed)),
            "bayes": make_pipeline(TfidfVectorizer(), MultinomialNB()),
            "mlp": make_pipeline(TfidfVectorizer(), MLPClassifier(random_state=seed)),
        }
    if kind == "pictures":  # boosting takes minutes for 784 pixels and ten classes
        return {
            "linear": LogisticRegression(max_iter=1000),
            "forest": RandomForestClassifier(random_state=seed),
            "mlp": MLPClassifier(random_state=seed),
        }
    if classes:
        return {
            "linear": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
            "forest": RandomForestClassifier(random_state=seed),
            "boosting": HistGradientBoostingClassifier(random_state=seed),
            "mlp": make_pipeline(StandardScaler(), MLPClassifier(max_iter=500, random_state=seed)),
        }
    mlp = make_pipeline(StandardScaler(), MLPRegressor(max_iter=500, random_state=seed))
    return {
        "linear": make_pipeline(StandardScaler(), Ridge()),
        "forest": RandomForestRegressor(random_state=seed),
        "boosting": HistGradientBoostingRegressor(random_state=seed),
        "mlp": TransformedTargetRegressor(mlp, transformer=StandardScaler()),
    }
