"""Source `one_row`: one row that holds nothing, for models whose trained picture is a weight."""

from collections.abc import Mapping

import numpy as np

from kerascli.data.base import Context, Field, Source, source
from kerascli.data.storage.table import Table, table_of


@source()
class OneRow(Source):
    """One row without content, column `row`, in one split `train`: for models of weights alone, which take no inputs.

    A config without `data` whose first layer is a `weight` has it.
    """

    is_empty = True

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {"row": Field((1,), "float32")}

    def load(self, context: Context) -> Mapping[str, Table]:
        return {"train": table_of({"row": np.zeros((1, 1), np.float32)}, "one_row")}
