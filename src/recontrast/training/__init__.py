"""The optimisation loop and its checkpoints."""
