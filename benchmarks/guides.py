"""The models of the guides beside scikit-learn's and Keras's, on the rows of the guides' runs.

    python -m benchmarks.guides [NAME ...]      # as docs/guides/NAME.md; --write puts the tables into the pages

Each guide is typed as it stands; `predict --keep` yields the rows of its splits for the peers. kerascli's models are
trained with the seed of the guide and with seeds 1 to 5 (mean, least and greatest); the peers with seed 0.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"

import numpy as np

from benchmarks.guide_session import SEEDS, Typed, shown, spread
from tests.support.guides import Session

ROOT = Path(__file__).parent.parent
GUIDES = ROOT / "docs" / "guides"
Row = tuple[str, str]
"""A model and its results."""


def table_of(columns: dict[str, np.ndarray]) -> np.ndarray:
    return np.column_stack([values.astype(object) for values in columns.values()])


def prepared(columns: dict[str, np.ndarray], *, trees: bool) -> Any:
    """Return the usual preprocessing of a table: one-hot words and scaled numbers, or ordinal words for trees."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    words = [i for i, values in enumerate(columns.values()) if values.dtype == object]
    numbers = [i for i in range(len(columns)) if i not in words]
    if trees:
        ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
        return ColumnTransformer([("words", ordinal, words), ("numbers", "passthrough", numbers)])
    scaled = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    return ColumnTransformer([("words", OneHotEncoder(handle_unknown="ignore"), words), ("numbers", scaled, numbers)])


def classifiers(balanced: bool = False) -> Iterator[tuple[str, Any, bool]]:
    """Yield scikit-learn's linear model and its boosted trees, with defaults."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    weight = "balanced" if balanced else None
    yield "`LogisticRegression`", LogisticRegression(max_iter=2000, class_weight=weight), False
    yield "`HistGradientBoostingClassifier`", HistGradientBoostingClassifier(random_state=0, class_weight=weight), True


def regressors(log: bool = False) -> Iterator[tuple[str, Any, bool]]:
    """Yield scikit-learn's linear model and its boosted trees; with `log` they learn the logarithm."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import LinearRegression

    def of(model: Any) -> Any:
        return TransformedTargetRegressor(model, func=np.log, inverse_func=np.exp) if log else model

    yield "`LinearRegression`", of(LinearRegression()), False
    yield "`HistGradientBoostingRegressor`", of(HistGradientBoostingRegressor(random_state=0)), True


def fitted(
    typed: Typed, run: str, inputs: str, target: str, models: Iterator[tuple[str, Any, bool]]
) -> Iterator[tuple[str, Any, np.ndarray, np.ndarray]]:
    """Yield (name, fitted model, test inputs, test targets) of models trained on the rows of a run."""
    from sklearn.pipeline import make_pipeline

    fit, test = typed.fit_rows(run, f"{inputs} {target}"), typed.rows(run, "test", f"{inputs} {target}")
    y, y_test = fit.pop(target), test.pop(target)
    for name, model, trees in models:
        whole = make_pipeline(prepared(fit, trees=trees), model)
        yield name, whole.fit(table_of(fit), y), table_of(test), y_test


def accuracies(typed: Typed, run: str, inputs: str, target: str) -> Iterator[Row]:
    for name, model, x, y in fitted(typed, run, inputs, target, classifiers()):
        yield name, shown(model.score(x, y))


def errors(typed: Typed, run: str, inputs: str, target: str, log: bool = False) -> Iterator[Row]:
    from sklearn.metrics import mean_absolute_error

    for name, model, x, y in fitted(typed, run, inputs, target, regressors(log)):
        yield name, shown(mean_absolute_error(y, model.predict(x)))


def ours(typed: Typed, run: str, command: str, metric: str) -> Iterator[Row]:
    yield "this guide's", typed.value(run, metric)
    yield "the same, seeds 1 to 5", typed.over_seeds(command, metric)


def fraud(typed: Typed) -> Iterator[Row]:
    from sklearn.metrics import average_precision_score

    yield from ours(typed, "fraud", "fraud.yaml", "thresholds:average_precision")
    inputs = "amount hour country address device account_days orders_before"
    for name, model, x, y in fitted(typed, "fraud", inputs, "verdict", classifiers(balanced=True)):
        scores = model.predict_proba(x)[:, list(model.classes_).index("fraud")]
        yield name, shown(average_precision_score(y == "fraud", scores))


def houses(typed: Typed) -> Iterator[Row]:
    yield from ours(typed, "houses", "houses.yaml", "units:mae")
    yield from errors(typed, "houses", "town area_m2 rooms built garden_m2 garage", "price", log=True)


def penguins(typed: Typed) -> Iterator[Row]:
    yield from ours(typed, "penguins", "penguins.yaml", "accuracy")
    inputs = "island sex bill_length_mm bill_depth_mm flipper_length_mm body_mass_g"
    yield from accuracies(typed, "penguins", inputs, "species")


def arrays(typed: Typed, run: str, split: str) -> Any:
    """Return the prepared rows of a split, with arrays by name in `inputs` and `targets`."""
    from kerascli.runs.index import find_run
    from kerascli.workflow.loaded import open_run
    from kerascli.workflow.rows.command_rows import load_again

    os.chdir(typed.session.folder)
    return load_again(open_run(find_run(run, Path("runs")))).splits[split].read(slice(None))


def images(typed: Typed, run: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the pictures of a split, 0 to 1, and their labels."""
    rows = arrays(typed, run, split)
    return np.asarray(rows.inputs["image"], "float32") / 255, np.asarray(rows.targets["label"])


def pictures(typed: Typed) -> Iterator[Row]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

    yield from ours(typed, "digits", "digits.yaml", "accuracy")
    parts = {split: images(typed, "digits", split) for split in ("train", "validation", "test")}
    yield "Keras, the same model, seeds 1 to 5", keras_pictures(*parts["train"], *parts["test"])
    x, y = (np.concatenate([parts[split][i] for split in ("train", "validation")]) for i in (0, 1))
    for model in (LogisticRegression(max_iter=2000), SVC()):
        fit = model.fit(x.reshape(len(x), -1), y)
        score = fit.score(parts["test"][0].reshape(len(parts["test"][0]), -1), parts["test"][1])
        yield f"`{type(model).__name__}` of the pixels", shown(score)


def keras_pictures(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> str:
    import keras
    from keras import layers

    found = []
    for seed in SEEDS:
        keras.utils.set_random_seed(seed)
        model = keras.Sequential([
            layers.RandomTranslation(0.1, 0.1),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(10, activation="softmax"),
        ])  # fmt: skip
        model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(x, y, batch_size=32, epochs=20, verbose=0)
        found.append(model.evaluate(x_test, y_test, verbose=0)[1])
    return spread(found)


def transfer(typed: Typed) -> Iterator[Row]:
    from sklearn.svm import SVC

    yield from ours(typed, "own", "own.yaml", "accuracy")
    yield "from scratch, seeds 1 to 5", typed.over_seeds("own.yaml --set model.init_from=null", "accuracy")
    (x, y), (x_test, y_test) = images(typed, "own", "train"), images(typed, "own", "test")
    score = SVC().fit(x.reshape(len(x), -1), y).score(x_test.reshape(len(x_test), -1), y_test)
    yield "`SVC` of the pixels", shown(score)


def photos(typed: Typed) -> Iterator[Row]:
    from sklearn.svm import SVC

    yield from ours(typed, "photos", "photos.yaml", "accuracy")
    frozen = "photos.yaml --set 'fit.phases=[{epochs: 40, trainable: {base: false}}]'"
    yield "the base frozen in all epochs, seeds 1 to 5", typed.over_seeds(frozen, "accuracy")
    scratch = "photos.yaml --set model.init_from=null --set 'model.layers[0]=base' --set 'fit.phases=[{epochs: 40}]'"
    yield "from scratch, seeds 1 to 5", typed.over_seeds(scratch, "accuracy")
    (x, y), (x_test, y_test) = images(typed, "photos", "train"), images(typed, "photos", "test")
    score = SVC().fit(x.reshape(len(x), -1), y).score(x_test.reshape(len(x_test), -1), y_test)
    yield "`SVC` of the pixels", shown(score)


def features(typed: Typed) -> Iterator[Row]:
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import LinearRegression

    yield from ours(typed, "slips", "slips.yaml", "units:mae")
    yield "without the base, seeds 1 to 5", typed.over_seeds("scratch.yaml", "units:mae")
    train, validation, test = (arrays(typed, "slips", split) for split in ("train", "validation", "test"))
    paid = {split: typed.rows("slips", split, "paid")["paid"] for split in ("train", "validation", "test")}

    def flat(rows: Any) -> np.ndarray:
        return np.hstack([rows.inputs[name].reshape(rows.rows, -1) for name in ("picture", "price", "discount")])

    x, y = np.concatenate([flat(train), flat(validation)]), np.log(np.concatenate([paid["train"], paid["validation"]]))
    for model in (LinearRegression(), RandomForestRegressor(random_state=0)):
        error = abs(np.exp(model.fit(x, y).predict(flat(test))) - paid["test"]).mean()
        yield f"`{type(model).__name__}` of pixels and numbers", shown(error)


def sentences(typed: Typed) -> Iterator[Row]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    yield from ours(typed, "messages", "messages.yaml", "accuracy")
    fit, test = typed.fit_rows("messages", "message topic"), typed.rows("messages", "test", "message topic")
    for title, grams in (("words", (1, 1)), ("one to four words", (1, 4))):
        model = make_pipeline(TfidfVectorizer(ngram_range=grams), LogisticRegression(max_iter=2000))
        score = model.fit(fit["message"], fit["topic"]).score(test["message"], test["topic"])
        yield f"`TfidfVectorizer` of {title}, `LogisticRegression`", shown(score)


def outputs(typed: Typed) -> Iterator[Row]:
    inputs = "malic_acid ash alkalinity magnesium phenols flavanoids color hue od280 proline"
    both = [[*ours(typed, "wine", "wine.yaml", metric)] for metric in ("cultivar_accuracy", "units:mae")]
    both[0].append(("Keras, the same model, seeds 1 to 5", ""))
    both[1].append(("", ""))
    accuracy, mae = keras_outputs(typed, inputs)
    both[0][-1], both[1][-1] = (both[0][-1][0], accuracy), ("", mae)
    both[0] += accuracies(typed, "wine", inputs, "cultivar")
    both[1] += errors(typed, "wine", inputs, "alcohol")
    for (name, first), (other, second) in zip(*both, strict=True):
        name = name if not other or name == other else f"{name} and {other}"
        yield name, f"{first} | {second}"


def keras_outputs(typed: Typed, inputs: str) -> tuple[str, str]:
    import keras
    from keras import layers

    names = f"{inputs} cultivar alcohol"
    fit, test = typed.rows("wine", "train", names), typed.rows("wine", "test", names)
    classes, (mean, deviation) = sorted(set(fit["cultivar"])), (fit["alcohol"].mean(), fit["alcohol"].std())
    x, x_test = (np.stack([part[name] for name in inputs.split()], 1).astype(float) for part in (fit, test))
    x, x_test = (x - x.mean(0)) / x.std(0), (x_test - x.mean(0)) / x.std(0)
    y, y_test = ({"cultivar": np.array([classes.index(name) for name in part["cultivar"]]),
                  "alcohol": (part["alcohol"] - mean) / deviation} for part in (fit, test))  # fmt: skip
    found = []
    for seed in SEEDS:
        keras.utils.set_random_seed(seed)
        given = keras.Input((x.shape[1],))
        shared = layers.Dense(32, activation="relu")(given)
        ends = {"cultivar": layers.Dense(3, activation="softmax")(shared), "alcohol": layers.Dense(1)(shared)}
        model = keras.Model(given, ends)
        losses = {"cultivar": "sparse_categorical_crossentropy", "alcohol": "mse"}
        model.compile(keras.optimizers.Adam(0.01), losses, loss_weights={"cultivar": 1.0, "alcohol": 0.5})
        model.fit(x, y, batch_size=16, epochs=40, verbose=0)
        predicted = model.predict(x_test, verbose=0)
        right = (predicted["cultivar"].argmax(1) == y_test["cultivar"]).mean()
        found.append((right, abs(predicted["alcohol"][:, 0] - y_test["alcohol"]).mean() * deviation))
    accuracies, errors = zip(*found, strict=True)
    return spread(accuracies), spread(errors)


def table_of_pictures(typed: Typed) -> Iterator[Row]:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.linear_model import LinearRegression, LogisticRegression

    both = [[*ours(typed, "parts", "parts.yaml", metric)] for metric in ("kind_accuracy", "units:mae")]
    for (name, first), (_, second) in zip(*both, strict=True):
        yield name, f"{first} | {second}"
    train, validation, test = (arrays(typed, "parts", split) for split in ("train", "validation", "test"))
    logs = np.log(typed.rows("parts", "train", "width")["width"])

    def millimetres(scaled: np.ndarray) -> np.ndarray:
        return np.exp(scaled.reshape(-1) * logs.std() + logs.mean())

    yield "Keras, the same model, seeds 1 to 5", " | ".join(keras_parts(train, test, millimetres))

    def flat(rows: Any) -> np.ndarray:
        return np.hstack([rows.inputs["picture"].reshape(rows.rows, -1) / 255, rows.inputs["distance"].reshape(-1, 1)])

    x, kinds, widths = (
        np.concatenate([of(rows) for rows in (train, validation)])
        for of in (flat, lambda rows: rows.targets["kind"], lambda rows: rows.targets["width"])
    )
    for classifier, regressor in (
        (LogisticRegression(max_iter=2000), LinearRegression()),
        (RandomForestClassifier(random_state=0), RandomForestRegressor(random_state=0)),
    ):
        accuracy = classifier.fit(x, kinds).score(flat(test), test.targets["kind"])
        found = millimetres(regressor.fit(x, widths.reshape(-1)).predict(flat(test)))
        error = abs(found - millimetres(test.targets["width"])).mean()
        yield f"`{type(classifier).__name__}` and `{type(regressor).__name__}`", f"{shown(accuracy)} | {shown(error)}"


def keras_parts(train: Any, test: Any, millimetres: Callable[[np.ndarray], np.ndarray]) -> tuple[str, str]:
    import keras
    from keras import layers

    found = []
    x, x_test = ([rows.inputs["picture"] / 255, rows.inputs["distance"].reshape(-1, 1)] for rows in (train, test))
    for seed in SEEDS:
        keras.utils.set_random_seed(seed)
        picture, distance = keras.Input((20, 20, 1)), keras.Input((1,))
        shape = layers.MaxPooling2D()(layers.Conv2D(16, 3, activation="relu")(picture))
        shape = layers.GlobalMaxPooling2D()(layers.Conv2D(32, 3, activation="relu")(shape))
        shared = layers.Dense(32, activation="relu")(layers.Concatenate()([shape, distance]))
        ends = {"kind": layers.Dense(3, activation="softmax")(shared), "width": layers.Dense(1)(shared)}
        model = keras.Model([picture, distance], ends)
        model.compile(keras.optimizers.Adam(0.005), {"kind": "sparse_categorical_crossentropy", "width": "mse"})
        model.fit(x, {**train.targets}, batch_size=16, epochs=40, verbose=0)
        predicted = model.predict(x_test, verbose=0)
        right = (predicted["kind"].argmax(1) == test.targets["kind"]).mean()
        found.append((right, abs(millimetres(predicted["width"]) - millimetres(test.targets["width"])).mean()))
    accuracies, errors = zip(*found, strict=True)
    return spread(accuracies), spread(errors)


def splits(typed: Typed) -> Iterator[Row]:
    first = "pulse pressure temperature haemoglobin"
    cells: dict[str, list[str]] = {}
    for run in ("rows", "persons"):
        cells.setdefault("this guide's", []).append(typed.value(run, "accuracy"))
        for name, score in accuracies(typed, run, first, "state"):
            cells.setdefault(name, []).append(score)
    for name, scores in cells.items():
        yield name, " | ".join(scores)


def threshold(typed: Typed) -> Iterator[Row]:
    from sklearn.metrics import average_precision_score

    yield from ours(typed, "tumours", "tumours.yaml", "thresholds:average_precision")
    inputs = "radius texture perimeter area smoothness compactness concavity concave_points symmetry fractal_dimension"
    for name, model, x, y in fitted(typed, "tumours", inputs, "diagnosis", classifiers()):
        scores = model.predict_proba(x)[:, list(model.classes_).index("malignant")]
        yield name, shown(average_precision_score(y == "malignant", scores))


def pipe(typed: Typed) -> Iterator[Row]:
    yield from ours(typed, "iris", "iris.yaml", "accuracy")
    yield from accuracies(typed, "iris", "sepal_length sepal_width petal_length petal_width", "species")


def partitions(typed: Typed) -> Iterator[Row]:
    yield from ours(typed, "year", "rides.yaml", "units:mae")
    yield from errors(typed, "year", "city hour temperature rain", "rides", log=True)


def messy(typed: Typed) -> Iterator[Row]:
    yield from ours(typed, "readable", "readable.yaml", "units:mae")
    yield from errors(typed, "readable", "besucher region rabatt", "umsatz", log=True)


def forecast(typed: Typed) -> Iterator[Row]:
    yield from ours(typed, "forecast", "forecast.yaml", "units:mae")
    yield from forecasts(typed, "sales.csv", "cones", 28, 107)


def gaps(typed: Typed) -> Iterator[Row]:
    yield from ours(typed, "gaps", "gaps.yaml", "units:mae")
    linear = typed.over_seeds("gaps.yaml --set data.source.timeseries.fill=linear", "units:mae")
    yield "with `fill: linear`, seeds 1 to 5", linear
    yield from forecasts(typed, "bicycles.csv", "bicycles", 28, 106)


def forecasts(typed: Typed, file: str, column: str, window: int, held_out: int) -> Iterator[Row]:
    """Yield the errors of scikit-learn's models of windows and dates, and of two rules, on the last rows.

    A day without a value has that of the day before.
    """
    import csv
    from datetime import date, timedelta

    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import LinearRegression

    with (typed.session.folder / "data" / file).open(encoding="utf-8") as opened:
        by_day = {date.fromisoformat(row["date"]): row[column] for row in csv.DictReader(opened)}
    first = min(by_day)
    days = [first + timedelta(day) for day in range((max(by_day) - first).days + 1)]
    filled = list(accumulate((by_day.get(day, "") for day in days), lambda before, value: value or before))
    values = np.array(filled, float)
    year = np.array([2 * np.pi * day.timetuple().tm_yday / 365.25 for day in days])
    known = np.column_stack([np.eye(7)[[day.weekday() for day in days]], np.sin(year), np.cos(year)])
    past = np.stack([np.log(values[i - window : i]) for i in range(window, len(values))])
    x, y = np.hstack([past, known[window:]]), values[window:]
    for model in (LinearRegression(), HistGradientBoostingRegressor(random_state=0)):
        fitted = model.fit(x[:-held_out], np.log(y[:-held_out]))
        yield f"`{type(model).__name__}`", shown(abs(np.exp(fitted.predict(x[-held_out:])) - y[-held_out:]).mean())
    for title, back in (("the day before", 1), ("the same day a week before", 7)):
        yield title, shown(abs(y[-held_out:] - values[-held_out - back : -back]).mean())


PEERS: dict[str, Callable[[Typed], Iterator[Row]]] = {
    each.__name__: each
    for each in (
        fraud,
        houses,
        penguins,
        pictures,
        photos,
        transfer,
        features,
        sentences,
        outputs,
        table_of_pictures,
        splits,
        threshold,
        forecast,
        gaps,
        pipe,
        partitions,
        messy,
    )
}


def typed_guide(name: str, folder: Path) -> Typed:
    """Type a guide in a folder. Exits if it does not print what it shows."""
    session = Session(folder / "guide")
    shutil.copytree(GUIDES / "data", session.folder / "data")
    for table in (ROOT / "configs" / "data").glob("*.csv"):
        shutil.copy(table, session.folder / "data")
    session.play((GUIDES / f"{name}.md").read_text(encoding="utf-8"))
    for fault in session.faults:
        print(fault, file=sys.stderr)
    return Typed(session)


def write(page: Path, lines: list[str]) -> None:
    """Put the rows into the table of models of a page."""
    table = re.compile(r"(^\| model \|.*\n\|[-|]+\|\n)(?:\|.*\n)*", re.M)
    text = table.sub(lambda found: found[1] + "\n".join(lines) + "\n", page.read_text(encoding="utf-8"), count=1)
    page.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    for name in given.names or PEERS:
        with tempfile.TemporaryDirectory() as folder:
            lines = [f"| {model} | {result} |" for model, result in PEERS[name](typed_guide(name, Path(folder)))]
        print(f"{name}\n" + "\n".join(lines), flush=True)
        if given.write:
            write(GUIDES / f"{name}.md", lines)
        os.chdir(ROOT)


if __name__ == "__main__":
    main()
