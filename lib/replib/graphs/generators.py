"""Random graphs as padded adjacency matrices, and shortest paths on many of them at once.

G graphs of at most N nodes are one array (G, N, N); graph g uses its first ``nodes[g]`` rows and
columns, the rest is padding without edges.
"""

from dataclasses import dataclass

import numpy as np


def is_connected(adjacency: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Whether node 0 reaches all nodes of its graph, by repeated squaring of (I + A).

    Args:
        adjacency: (G, N, N) bool, symmetric.
        nodes: (G,) number of nodes of each graph.

    Returns:
        (G,) bool.
    """
    size = adjacency.shape[-1]
    reach = (adjacency | np.eye(size, dtype=bool)).astype(np.float32)
    for _ in range(max(1, int(np.ceil(np.log2(size))))):
        reach = np.minimum(reach @ reach, 1.0)
    present = np.arange(size) < np.asarray(nodes)[:, None]  # (G, N)
    return ((reach[:, 0] > 0) | ~present).all(1)


def connected_erdos_renyi(
    nodes: np.ndarray, probability: np.ndarray, rng: np.random.Generator, *, size: int | None = None
) -> np.ndarray:
    """Erdős–Rényi graphs G(n, p) conditioned on being connected, by rejection.

    Args:
        nodes: (G,) number of nodes of each graph.
        probability: (G,) edge probability of each graph.
        size: N, the number of nodes to pad to; the largest graph's by default.

    Returns:
        (G, N, N) bool, symmetric, no self-loops.

    Raises:
        ValueError: a graph of several nodes with p = 0, or a p outside [0, 1].
        RuntimeError: no connected graph after 100 000 tries.
    """
    nodes, probability = np.asarray(nodes), np.asarray(probability, dtype=float)
    if nodes.shape != probability.shape or nodes.ndim != 1 or not nodes.size or nodes.min() < 1:
        raise ValueError("give one positive number of nodes and one probability per graph")
    if ((probability <= 0) & (nodes > 1)).any() or (probability > 1).any():
        raise ValueError("an edge probability must lie in (0, 1], or no graph is connected")
    size = int(nodes.max()) if size is None else size
    if size < nodes.max():
        raise ValueError(f"graphs of {nodes.max()} nodes cannot be padded to {size}")
    upper = np.triu(np.ones((size, size), dtype=bool), 1)
    graphs = np.zeros((nodes.size, size, size), dtype=bool)
    pending = np.arange(nodes.size)
    for _ in range(100_000):
        n, p = nodes[pending], probability[pending]
        present = np.arange(size) < n[:, None]
        allowed = upper & present[:, :, None] & present[:, None, :]
        edges = (rng.random((pending.size, size, size)) < p[:, None, None]) & allowed
        edges |= edges.transpose(0, 2, 1)
        done = is_connected(edges, n)
        graphs[pending[done]] = edges[done]
        pending = pending[~done]
        if not pending.size:
            return graphs
    raise RuntimeError(f"no connected graph found for n = {nodes[pending[0]]}, p = {probability[pending[0]]}")


def bellman_ford(weights: np.ndarray, source: np.ndarray, edges: int) -> np.ndarray:
    """Length of the shortest path from ``source`` that uses at most ``edges`` edges.

    d^0 = 0 at the source and inf elsewhere; d^k_v = min(d^{k-1}_v, min_u d^{k-1}_u + w_uv).

    Args:
        weights: (G, N, N), inf where there is no edge.
        source: (G,) node index per graph.

    Returns:
        (G, N), inf where no such path exists.
    """
    graphs = np.arange(len(weights))
    distance = np.full(weights.shape[:2], np.inf)
    distance[graphs, source] = 0.0
    for _ in range(edges):
        nearer = np.minimum(distance, (distance[:, :, None] + weights).min(1))
        if np.array_equal(nearer, distance):
            break
        distance = nearer
    return distance


@dataclass(frozen=True)
class PathProblems:
    """Shortest-path questions on weighted graphs; G graphs of at most N nodes.

    Attributes:
        nodes: (G,) number of nodes.
        adjacency: (G, N, N) bool.
        weights: (G, N, N), symmetric, inf where there is no edge.
        source, target: (G,) node indices.
        length: (G,) length of the shortest path.
    """

    nodes: np.ndarray
    adjacency: np.ndarray
    weights: np.ndarray
    source: np.ndarray
    target: np.ndarray
    length: np.ndarray


def path_problems(
    nodes: np.ndarray,
    probability: np.ndarray,
    heaviest: float,
    hops: int,
    rng: np.random.Generator,
    *,
    size: int | None = None,
) -> PathProblems:
    """Connected Erdős–Rényi graphs with edge weights U[1, heaviest] and a question each.

    The source is uniform, the target uniform among the nodes within ``hops`` edges of it; both are
    drawn again until they differ and the shortest path has at most ``hops`` edges. Weights are
    continuous, so that path is unique (Xu et al., 2021, official generator).
    """
    adjacency = connected_erdos_renyi(nodes, probability, rng, size=size)
    size, count = adjacency.shape[1], len(adjacency)
    upper = np.triu(rng.uniform(1, heaviest, adjacency.shape), 1)
    weights = np.where(adjacency, upper + upper.transpose(0, 2, 1), np.inf)
    source, target, length = np.zeros(count, int), np.zeros(count, int), np.zeros(count)
    pending = np.arange(count)
    while pending.size:
        start = (rng.random(pending.size) * nodes[pending]).astype(int)
        steps = bellman_ford(np.where(adjacency[pending], 1.0, np.inf), start, hops)
        end = np.where(np.isfinite(steps), rng.random(steps.shape), -1.0).argmax(1)
        rows = np.arange(pending.size)
        shortest = bellman_ford(weights[pending], start, size - 1)[rows, end]
        short_enough = bellman_ford(weights[pending], start, hops)[rows, end] == shortest
        good = short_enough & (end != start)
        done = pending[good]
        source[done], target[done], length[done] = start[good], end[good], shortest[good]
        pending = pending[~good]
    return PathProblems(np.asarray(nodes), adjacency, weights, source, target, length)
