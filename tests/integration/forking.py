"""A process that forks one for each line on stdin: what is to be killed again and again loads everything once."""

import json
import os
import sys
from collections.abc import Callable
from typing import Any


def fork_each_line(run: Callable[[dict[str, Any]], None]) -> None:
    """Run each line, a JSON object, in a process of its own, and answer with how that ended. Nothing may run in threads here."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            run(json.loads(line))
            os._exit(0)
        print(os.waitpid(pid, 0)[1], flush=True)  # noqa: T201
