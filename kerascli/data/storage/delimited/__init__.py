"""Delimited text (CSV, TSV): parsed to typed columns by pyarrow, and by the csv module where it is odd."""
