"""Kernels of infinitely and finitely wide networks, and learning with a kernel.

- :mod:`~replib.kernels.dual`: Gaussian expectations of activations, which all limits are made of;
- :mod:`~replib.kernels.limit`: covariance and tangent kernel of infinitely wide networks;
- :mod:`~replib.kernels.empirical`: the tangent kernel of a network at hand;
- :mod:`~replib.kernels.regression`: kernel regression and gradient descent along a kernel;
- :mod:`~replib.kernels.sphere`: eigenvalues of kernels on the sphere.
"""
