"""Data: the registry of data sets, readers of their formats, generated points and tables."""
