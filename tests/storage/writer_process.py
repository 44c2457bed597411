"""A process that writes a journal until it is killed: prints each sequence once it is durable.

python -m tests.storage.writer_process JOURNAL [GROUP]
"""

import sys
from pathlib import Path

from qmworkbench.storage.journal import SqliteJournal
from tests.storage.events import decisions, timing


def main(path: str, group: int) -> None:
    journal = SqliteJournal(Path(path), book="killed")
    print("open", journal.durable_seq, flush=True)
    while True:
        seq = journal.head[0]
        journal.append(decisions(group, first=seq + 1))
        journal.append_telemetry([timing(seq)])
        print(journal.sync(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3)
