"""Graphs and networks on them.

- :mod:`~replib.graphs.generators`: random graphs, and shortest paths on many of them at once;
- :mod:`~replib.graphs.networks`: message passing on stacks of seeds.
"""
