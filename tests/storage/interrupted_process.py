"""A process whose main thread waits for its journal while it is interrupted again and again.

    python interrupted_process.py PATH COUNT SEED

Prints how many waits were interrupted; exits with an error where a record is missing, doubled or wrong.
"""

import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

from qmworkbench.storage.journal import SqliteJournal
from tests.storage.events import decisions


def main(path: Path, count: int, seed: int) -> int:
    """How many waits were interrupted."""
    over, armed, interrupted = threading.Event(), False, 0

    def press(_signal: int, _frame: object) -> None:
        if armed:
            raise KeyboardInterrupt

    def storm() -> None:
        chance = random.Random(seed)
        while not over.is_set():
            time.sleep(chance.uniform(0.0001, 0.004))
            os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, press)
    presses = threading.Thread(target=storm)
    with SqliteJournal(path, book="interrupted") as journal:
        presses.start()
        for event in decisions(count):
            journal.append([event])
            try:
                armed = True
                journal.sync()
                armed = False
            except KeyboardInterrupt:
                armed = False
                interrupted += 1
        over.set()
        presses.join()
        assert journal.sync() == count
        assert journal.verify()["decisions"] == journal.head
    with SqliteJournal(path, book="interrupted") as again:
        assert again.head[0] == count
    return interrupted


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
