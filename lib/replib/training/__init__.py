"""How networks learn: optimisers, learning rules, stacks of seeds, and what training is compared with.

- :mod:`~replib.training.descent`: the loop below every training;
- :mod:`~replib.training.ensemble`: one network per seed, trained as one stack;
- :mod:`~replib.training.pruning`: masks by magnitude, SNIP, GraSP and SynFlow;
- :mod:`~replib.training.attacks`: adversarial examples;
- :mod:`~replib.training.convex_relu`: the global optimum of two-layer ReLU networks as a convex programme.
"""
