"""Architectures as stacks of seeds: perceptrons, attention, recurrent, convolutional, energy-based networks.

- :mod:`~replib.models.mlp`: perceptrons;
- :mod:`~replib.models.kan`: splines on every edge;
- :mod:`~replib.models.polynomial`: products of layers;
- :mod:`~replib.models.pairs`: networks of two residues.

Networks on graphs are in :mod:`replib.graphs`, spiking ones in :mod:`replib.spiking`.
"""
