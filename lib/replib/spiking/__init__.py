"""Spiking networks, simulated and trained: neurons, synapses, plasticity, spike trains.

- :mod:`~replib.spiking.network`: neuron, synapses, drive and network, and the state of many replicas;
- :mod:`~replib.spiking.gillespie`: exact simulation, event by event: the reference;
- :mod:`~replib.spiking.leaping`: tau-leaping of many replicas at once: the working simulator;
- :mod:`~replib.spiking.statistics`: rates, synchrony and spectra of recorded spikes;
- :mod:`~replib.spiking.events`: bursts, found while a network runs.
"""
