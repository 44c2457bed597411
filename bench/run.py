"""Every bench in one run, one JSON line each: ours, and beside it a peer's or the machine's own limit.

`python bench/run.py [NAME …] [--list]`. A bench is a module bench/bench_NAME.py with `run()` that returns a result or a
list of results: {"bench", "ours", "unit", "peer", "theirs", "ratio"}, ratio above 1 meaning that we are better.
Figures of one run may be compared with each other; figures of two runs may not.
"""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
FIELDS = {"bench", "ours", "unit", "peer", "theirs", "ratio"}


def names() -> list[str]:
    """The benches there are, by file name."""
    return sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))


def results(name: str) -> Iterator[dict[str, Any]]:
    """What one bench measured, checked for its form."""
    measured = importlib.import_module(f"bench.bench_{name}").run()
    for result in measured if isinstance(measured, list) else [measured]:
        missing = FIELDS - result.keys()
        if missing:
            raise SystemExit(f"bench {name}: a result lacks {', '.join(sorted(missing))}: {result}")
        yield result


def main(asked: list[str]) -> int:
    """Run what was asked for, all by default; the exit code says whether every bench gave a result."""
    known = names()
    if asked == ["--list"]:
        print("\n".join(known))
        return 0
    unknown = [name for name in asked if name not in known]
    if unknown:
        print(f"no bench {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    failed = 0
    for name in asked or known:
        began = perf_counter()
        try:
            for result in results(name):
                print(json.dumps(result), flush=True)
        except Exception as error:
            failed += 1
            print(json.dumps({"bench": name, "error": f"{type(error).__name__}: {error}"}), flush=True)
        print(f"{name}: {perf_counter() - began:.1f} s", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
