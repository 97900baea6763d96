"""A trained translator: saved, loaded, applied to whole volumes."""
