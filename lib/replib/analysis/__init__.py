"""What is read off a network: spectra of its weights, the complexity of its regions.

- :mod:`~replib.analysis.fourier`: weights on residues as sums of cosines;
- :mod:`~replib.analysis.complexity`: linear regions near a point.
"""
