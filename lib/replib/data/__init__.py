"""Generated data: point samplers, random graphs, simulated bodies."""
