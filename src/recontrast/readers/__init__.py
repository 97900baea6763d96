"""Blinded reader studies and quality rating in the browser: design, serve, analyse."""
