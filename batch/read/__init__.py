"""Input files become frames with line numbers: nothing is guessed, merged, shifted or lost on the way."""

from batch.read.columns import KNOWN_COLUMNS, METADATA_PREFIX, RESERVED_COLUMNS
from batch.read.file_rows import PLAIN, Form
from batch.read.header import Column
from batch.read.inputs import LoadedInputs, check_inputs, load_inputs, shown
from batch.read.interpretation import AS_WRITTEN, ColumnMap, Interpretation, make_interpretation
from batch.read.limits import LIMITS, Limits
from batch.read.table import Table, read_inputs, read_loaded

__all__ = [
    "AS_WRITTEN",
    "KNOWN_COLUMNS",
    "LIMITS",
    "METADATA_PREFIX",
    "PLAIN",
    "RESERVED_COLUMNS",
    "Column",
    "ColumnMap",
    "Form",
    "Interpretation",
    "Limits",
    "LoadedInputs",
    "Table",
    "check_inputs",
    "load_inputs",
    "make_interpretation",
    "read_inputs",
    "read_loaded",
    "shown",
]
