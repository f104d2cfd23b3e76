"""Input files become frames with line numbers: nothing is guessed, merged, shifted or lost on the way."""

from batch.read.columns import KNOWN_COLUMNS, METADATA_PREFIX, RESERVED_COLUMNS
from batch.read.header import Column
from batch.read.inputs import LoadedInputs, load_inputs
from batch.read.interpretation import PLAIN, ColumnMap, Interpretation, interpretation
from batch.read.table import Table, read_inputs, read_loaded

__all__ = [
    "KNOWN_COLUMNS",
    "METADATA_PREFIX",
    "PLAIN",
    "RESERVED_COLUMNS",
    "Column",
    "ColumnMap",
    "Interpretation",
    "LoadedInputs",
    "Table",
    "interpretation",
    "load_inputs",
    "read_inputs",
    "read_loaded",
]
