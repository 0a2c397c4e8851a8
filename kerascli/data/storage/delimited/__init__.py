"""Delimited text (CSV, TSV): parsed to typed columns by pyarrow, numpy or the csv module."""
