#!/bin/sh
# Removes what can be made again: books of the local and backtest environments, their reports, caches, bench results.
#
# A book of a paper or live account is the record of what was meant and why: it is never touched here, and neither is a
# report that might belong to one.
set -eu
cd "$(dirname "$0")/.."

for book in data/books/local/* data/books/backtest/*; do
    [ -d "$book" ] || continue
    name=$(basename "$book")
    if [ -e "data/books/paper/$name" ] || [ -e "data/books/live/$name" ]; then
        echo "kept the reports of '$name': a paper or live book has that name too"
        continue
    fi
    for report in reports/*/"$name"; do
        [ ! -d "$report" ] || { rm -rf "$report"; rmdir "$(dirname "$report")" 2>/dev/null || true; }
    done
done
rm -rf data/books/local data/books/backtest data/anchors/local data/anchors/backtest
rm -rf data/archive/environment=local data/archive/environment=backtest
rm -rf bench/results build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
for part in qmworkbench dashboards tests bench notebooks; do
    [ ! -d "$part" ] || find "$part" \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -prune -exec rm -rf {} +
done
