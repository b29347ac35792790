"""Predictive scores: training rows as of a cut-off, trained models as plain data, scores with their reasons."""
