"""`python -m recontrast` is the same as `recontrast`."""

from recontrast.cli import main

main()
