"""Run every recorded day there is, and hold that each closes without a break and says GO (§14, §17).

    python scripts/sweep.py [NAME …] [--list] [--data FOLDER]

Days of shares and weeks of currencies go through `qm day --from --to` with everything on, the four years of currencies
through `qm replay`. Prints one JSON line a stretch; exit code 1 where one of them broke, was refused or stopped.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SHARES, PAIRS = "us_equity_minute_2018.parquet", "forex_hourly_9pairs_2015_2018.parquet"


@dataclass(frozen=True)
class Sweep:
    """One stretch: `how` is "day" or "replay", `first` and `last` None for the file's own ends."""

    how: str
    file: str
    first: str | None = None
    last: str | None = None


SWEEPS = {
    "shares": Sweep("day", SHARES),
    "franc-shock": Sweep("day", PAIRS, "2015-01-12", "2015-01-20"),
    "summer-time-begins-us": Sweep("day", PAIRS, "2015-03-05", "2015-03-11"),
    "summer-time-begins-eu": Sweep("day", PAIRS, "2015-03-26", "2015-04-01"),
    "summer-time-ends": Sweep("day", PAIRS, "2015-10-22", "2015-11-04"),
    "christmas": Sweep("day", PAIRS, "2015-12-21", "2016-01-06"),
    "brexit": Sweep("day", PAIRS, "2016-06-20", "2016-06-29"),
    "flash-crash": Sweep("day", PAIRS, "2016-10-05", "2016-10-11"),
    **{f"pairs-{year}": Sweep("replay", PAIRS, f"{year}-01-01", f"{year}-12-31") for year in range(2015, 2019)},
    "pairs": Sweep("replay", PAIRS),
    "shares-replayed": Sweep("replay", SHARES),
}


def command(sweep: Sweep, data: Path) -> list[str]:
    """The stretch as a person would type it."""
    qm = [str(Path(sys.executable).with_name("qm")), sweep.how, "--data", str(data / sweep.file), "--json"]
    if sweep.how == "day":
        qm += ["--one-pass", "--no-reports", "--keep-going"]
    # One end is always given: a period is asked for.
    qm += ["--from", sweep.first or "2000-01-01"]
    return [*qm, "--to", sweep.last] if sweep.last else qm


def swept(name: str, sweep: Sweep, data: Path) -> dict[str, Any]:
    """Run one stretch in a home of its own; what it came to, and what is wrong with it."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="qm-sweep-") as home:
        done = subprocess.run(command(sweep, data), cwd=home, capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        found = {}
    days = found.get("days", [])
    wrong = [f"{day['date']}: {day['breaks']} breaks" for day in days if day["breaks"]]
    wrong += [f"{day['date']}: {said}" for day in days for said in day["verdicts"].values() if said != "GO"]
    wrong += [f"{one['date']}: {one['why']}" for one in found.get("problems", [])]
    if found.get("stopped"):
        wrong.append(found["stopped"])
    if done.returncode and not wrong:
        wrong.append(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}")
    return {
        "sweep": name,
        "how": sweep.how,
        "sessions": len(days),
        "trades": found.get("trades", 0),
        "net_pnl": found.get("net_pnl"),
        "equity_end": found.get("equity_end"),
        "decision_head": found.get("decision_head", ""),
        "wrong": wrong,
        "wall_s": round(time.perf_counter() - began, 1),
    }


def main() -> int:
    """Sweep what was asked for, everything by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="stretches, all by default")
    parser.add_argument("--list", action="store_true", help="say which there are")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="where the bars are")
    asked = parser.parse_args()
    if asked.list:
        print("\n".join(SWEEPS))
        return 0
    unknown = [name for name in asked.names if name not in SWEEPS]
    if unknown:
        parser.error(f"no stretch {', '.join(unknown)}; there are: {', '.join(SWEEPS)}")
    if not asked.data.is_dir():
        parser.error(f"{asked.data} is no directory: give the folder of bar files with --data")
    good = True
    for name in asked.names or SWEEPS:
        told = swept(name, SWEEPS[name], asked.data)
        good &= not told["wrong"]
        print(json.dumps(told), flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
