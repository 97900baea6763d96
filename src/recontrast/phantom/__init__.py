"""A virtual scanner: heads with known anatomy, pathology and physics."""
