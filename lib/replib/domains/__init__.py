"""Sets that enclose the outputs of a network on a box of inputs."""
