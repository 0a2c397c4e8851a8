"""Forecasts of time series: the next values of columns, by a model that takes windows of the series."""
