"""Small runs over raw tables of several kinds, for tests of ONNX files with preprocessing."""

from pathlib import Path

import numpy as np

from kerascli.runs.record import RunRecord
from tests.support.runs_harness import train, write

FRAUD = """
seed: 1
data:
  source: {csv: {path: rows.csv, na_values: [NA]}}
  inputs:
    numbers: [{columns: [amount, hour, age]}, impute: median, normalization]
    logs: [{columns: amount}, log1p, rescaling: {scale: 0.5, offset: -1.0}]
    bins: [{columns: amount}, discretization: {num_bins: 4, output_mode: one_hot}]
    country: [{columns: country}, impute: most_frequent, string_lookup: {output_mode: one_hot}]
    city: [{columns: country}, string_lookup: {mask_token: ""}]
    zip: [{columns: zip}, integer_lookup: {num_oov_indices: 2, output_mode: multi_hot}]
  targets: {label: [{columns: label}, string_lookup: {positive: fraud}]}
model:
  layers:
    - embedding: {input_dim: $inputs.city.vocabulary_size, output_dim: 2, inputs: city}
    - flatten: {name: place}
    - reshape: {target_shape: [1], inputs: logs, name: log}
    - concatenate: [numbers, log, bins, country, place, zip]
    - dense: {units: 6, activation: tanh}
    - dense: {units: 1, activation: sigmoid, name: label}
compile: {loss: binary_crossentropy, metrics: [accuracy]}
fit: {epochs: 1}
"""

PRICES = """
seed: 2
data:
  source: {csv: {path: rows.csv, na_values: [NA]}}
  inputs:
    x:
      - feature_space:
          features:
            amount: float_normalized
            hour: {integer_categorical: {num_oov_indices: 2}}
            country: [{impute: {strategy: constant, fill_value: none}}, string_categorical]
            age: [impute, {float_discretized: {num_bins: 3}}]
  targets: {price: [{columns: price}, cast: float32, log1p, normalization]}
model: {layers: [{dense: {units: 4, activation: relu}}, {dense: {units: 1, name: price}}]}
compile: {loss: mse}
fit: {epochs: 1}
"""

TWO_OUTPUTS = """
seed: 3
data:
  source: {csv: {path: rows.csv, na_values: [NA]}}
  shared: {places: {string_lookup: {num_oov_indices: 1, mask_token: ""}}}
  inputs:
    start: [{columns: country}, places]
    end: [{columns: target}, places]
    n: [{columns: [amount, hour]}, normalization]
  targets: {kind: [{columns: label}, string_lookup], price: [{columns: price}, rescaling: 0.001]}
  sample_weight: {price: [{columns: hour}, rescaling: {scale: 0.1, offset: 1}]}
model:
  shared: {places_in: {embedding: {input_dim: 9, output_dim: 3}}}
  layers:
    - places_in: {inputs: start, name: a}
    - places_in: {inputs: end, name: b}
    - concatenate: [a, b, n]
    - dense: {units: 5, name: body}
    - dense: {units: 2, name: kind, inputs: body}
    - dense: {units: 1, name: price, inputs: body}
  outputs: [kind, price]
compile: {loss: {kind: {sparse_categorical_crossentropy: {from_logits: true}}, price: mae}}
fit: {epochs: 1}
"""

TEXTS = """
seed: 4
data:
  source: {csv: {path: rows.csv, na_values: [NA]}}
  inputs:
    words: [{columns: text}, text_vectorization: {max_tokens: 20}]
    bag: [{columns: text}, text_vectorization: {output_mode: tf_idf}]
    grams: [{columns: text}, text_vectorization: {ragged: true}, ngrams: {n: 2}, pad_sequences: {maxlen: 6}]
    vectors: [{columns: text}, text_vectorization, word_vectors: {path: deep/vectors.txt}]
    day: [{columns: day}, datetime: {parts: [month, weekday], cyclic: true}]
  targets: {label: [{columns: label}, string_lookup, to_categorical]}
model:
  layers:
    - embedding: {input_dim: 20, output_dim: 2, inputs: words, name: e}
    - global_average_pooling_1d: {name: w}
    - embedding: {input_dim: $inputs.grams.vocabulary_size, output_dim: 2, inputs: grams}
    - global_average_pooling_1d: {name: g}
    - global_average_pooling_1d: {inputs: vectors, name: v}
    - concatenate: [w, g, v, bag, day]
    - dense: {units: 2, activation: softmax, name: label}
compile: {loss: categorical_crossentropy}
fit: {epochs: 1}
"""

DATES = """
seed: 7
data:
  source: {csv: {path: rows.csv, na_values: [NA]}}
  inputs:
    parts: [{columns: day}, datetime: {parts: [year, month, day, day_of_year, weekday, hour]}, normalization]
    cyclic: [{columns: day}, datetime: {parts: [month, weekday], cyclic: true}]
    x:
      - feature_space:
          features:
            day: {feature: {preprocessor: {datetime: {parts: month}}}}
            country: [{impute: most_frequent}, {string_categorical: {max_tokens: 3}}]
            hour: [{impute: {strategy: constant, fill_value: 3}}, {float_discretized: {bin_boundaries: [6, 12]}}]
    pair: [{columns: [country, target]}, impute: most_frequent, string_lookup: {output_mode: count}]
    hours: [{columns: [hour, zip]}, impute: most_frequent, integer_lookup: {output_mode: tf_idf}]
  targets: {price: [{columns: price}, log1p]}
model: {layers: [{concatenate: [parts, cyclic, x, pair, hours]}, {dense: {units: 1, name: price}}]}
compile: {loss: mse}
fit: {epochs: 1}
"""

PICTURES = """
seed: 5
data:
  source: {npz: {path: pictures.npz}}
  inputs: {image: [rescaling: {scale: $(1/255)}, resizing: {height: 6, width: 6}]}
  targets: {label: []}
  augment: [{mix_up: {targets: []}}]
model: {layers: [conv_2d: {filters: 2, kernel_size: 3}, flatten: {}, dense: {units: 3, activation: softmax}]}
compile: {loss: sparse_categorical_crossentropy}
fit: {epochs: 1}
"""

KINDS = """
seed: 8
data:
  source: {npz: {path: kinds.npz}}
  inputs:
    hot: [{columns: small}, category_encoding: {num_tokens: 6, output_mode: count}]
    label: [{columns: short}, to_categorical: {num_classes: 7}]
    scaled: [{columns: [half, flag, real]}, rescaling: 2]
    id: [{columns: id}, integer_lookup: {output_mode: one_hot, num_oov_indices: 3}]
    seen: [{columns: steps}, shift: 2, integer_lookup: {output_mode: tf_idf}]
    bins: [{columns: half}, discretization: {bin_boundaries: [0, 0.5], output_mode: multi_hot}]
    root: [{columns: real}, sqrt, reshape: [1]]
  targets: {y: [{columns: real}, log]}
model:
  layers:
    - concatenate: [hot, label, scaled, id, seen, bins, root]
    - dense: {units: 4, name: body}
    - dense: {units: 1, name: y}
  views: {inside: {outputs: body}}
compile: {loss: mse}
fit: {epochs: 1}
"""

SERIES = """
seed: 6
data:
  source: {timeseries: {source: {csv: {path: rows.csv, na_values: [NA]}}, sequence_length: 4}}
  inputs: {window: [{columns: [amount, hour]}, normalization]}
  targets: {next: [{columns: amount_next}, log, rescaling: 0.5]}
model: {layers: [flatten: {}, {dense: {units: 1, name: next}}]}
compile: {loss: mse}
fit: {epochs: 1}
"""


def rows(count: int = 60, seed: int = 0) -> str:
    """Return a csv text with numbers, words, missing values and a date, in an order fixed by `seed`."""
    random = np.random.default_rng(seed)
    lines = ["amount,hour,age,country,zip,price,label,target,text,day"]
    for number in range(count):
        amount, hour, age = random.lognormal(3, 1), random.integers(24), random.integers(18, 90)
        country, zip_code = random.choice(["DE", "FR", "US"]), random.choice([10115, 75001, 94110, 8001])
        label = "fraud" if amount > 20 and country != "DE" else "ok"
        words = " ".join(random.choice(["good", "bad", "film", "plot", "The", "end!"], 4))
        shown = "NA" if number % 7 == 3 else age
        place = "NA" if number % 11 == 5 else country
        day = f"2026-{random.integers(1, 13):02}-{random.integers(1, 28):02}"
        lines.append(
            f"{amount:.2f},{hour},{shown},{place},{zip_code},{300 * amount + hour:.1f},{label},{country},{words},{day}"
        )
    return "\n".join(lines) + "\n"


def kinds(count: int = 24, seed: int = 0) -> dict[str, np.ndarray]:
    """Return columns of many dtypes, in which each number is one that KINDS accepts."""
    random = np.random.default_rng(seed)
    return {
        "small": random.integers(0, 2, (count, 3)).astype(np.int8),
        "short": random.integers(0, 2, count).astype(np.uint16),
        "half": random.lognormal(size=count).astype(np.float16),
        "flag": random.integers(0, 2, count).astype(bool),
        "id": random.choice([5, 7, 9], count).astype(np.uint64),
        "steps": random.integers(0, 9, (count, 5)),
        "real": random.lognormal(size=count),
    }


def trained(text: str, folder: Path) -> RunRecord:
    """Train a run of a config in a folder with the data that the configs above name."""
    write(folder, rows(), "rows.csv")
    (folder / "deep").mkdir(exist_ok=True)
    write(folder / "deep", "good 1 0\nbad -1 0.5\nfilm 0.25 0\n", "vectors.txt")
    np.savez(folder / "kinds.npz", **kinds())  # type: ignore[arg-type]
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (24, 8, 8, 1), np.uint8)
    np.savez(folder / "pictures.npz", image=pictures, label=random.integers(0, 3, 24))
    return train(write(folder, text), folder / "runs")[0]
