"""Ways to run a network: PyTorch as the reference, others faster. Each is checked against the reference."""
