"""Running many cases, and many ranks."""
