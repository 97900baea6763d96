"""Files to volumes and back. Formats live here and nowhere else."""
