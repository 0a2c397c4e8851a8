import hashlib
from pathlib import Path

import numpy as np

from kerascli.data.base import SOURCES, Context
from kerascli.data.datasets.mnist import idx_bytes

# As published with the data set, of the unpacked files.
MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def test_the_packed_digits_are_the_original_files() -> None:
    assert {name: hashlib.md5(idx_bytes(name)).hexdigest() for name in MD5} == MD5


def test_mnist_has_the_columns_its_facts_promise() -> None:
    context = Context(Path(), 0)
    mnist = SOURCES.parse("mnist")
    facts = mnist.facts(context)
    tables = mnist.load(context)
    assert {split: table.rows for split, table in tables.items()} == {"train": 60_000, "test": 10_000}
    assert facts is not None
    for table in tables.values():
        for name, field in facts.items():
            assert table[name].shape[1:] == field.shape
            assert table[name].dtype.name == field.dtype
        assert np.unique(table.array("y")).tolist() == list(range(10))


def test_mnist_images_are_where_the_idx_file_has_them() -> None:
    image = SOURCES.parse("mnist").load(Context(Path(), 0))["test"].array("x")[9_999]
    assert image.tobytes() == idx_bytes("t10k-images-idx3-ubyte")[-784:]
