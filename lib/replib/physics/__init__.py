"""Simulated physical systems: solvers, potentials, reference trajectories.

- :mod:`~replib.physics.bodies`: bodies under gravity.
"""
