"""From raw scans to prepared cases: one grid, aligned, masked, with an invertible scale."""
