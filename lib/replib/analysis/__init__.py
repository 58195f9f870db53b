"""What is read off a network or proved about it: spectra, regions, representations, bounds, counted operations.

- :mod:`~replib.analysis.fourier`: weights on residues as sums of cosines;
- :mod:`~replib.analysis.complexity`: linear regions near a point.
"""
