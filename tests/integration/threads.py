"""Work done by several threads at once, whose errors are told."""

import threading
from collections.abc import Callable


def together(work: Callable[[int], object], number: int = 2) -> None:
    """Do `work(0)`, `work(1)` .. at once; no error may be raised in any of them."""
    failures: list[BaseException] = []

    def run(index: int) -> None:
        try:
            work(index)
        except BaseException as error:  # noqa: BLE001  # told by the main thread
            failures.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == []
    assert not any(thread.is_alive() for thread in threads)
