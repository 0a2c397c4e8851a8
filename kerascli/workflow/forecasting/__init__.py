"""Forecasts of series: the next values of the columns that a model of windows predicts."""
