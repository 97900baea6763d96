"""`python -m recontrast` is the same as `recontrast`, which goes on as this for commands that run networks."""

import atexit
import os
import sys
import threading
from contextlib import suppress

from recontrast.cli import main


def leave(status: int) -> None:
    """End the process and leave its memory to the system: to take PyTorch apart takes Python half a second.

    What others registered for the end is done first. Nothing is done where another thread still runs, or where nobody
    reads the output any more: then Python ends in its own way.
    """
    if threading.active_count() == 1:
        atexit._run_exitfuncs()
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)


try:
    main()
except SystemExit as end:
    if isinstance(end.code, int):
        leave(end.code)
    raise
