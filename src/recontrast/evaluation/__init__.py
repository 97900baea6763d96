"""Protocols, controls, scores and statistics."""
