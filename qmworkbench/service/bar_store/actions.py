"""The corporate actions that a bar store keeps beside its prices, and never works into them (§5 Data Check)."""

import hashlib
import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from qmworkbench.domain.corporate_actions import CorporateAction, action_order
from qmworkbench.market.corporate_actions import actions_of, load_actions, table_of
from qmworkbench.market.store.manifest import ActionsFile, Prices, store_refused
from qmworkbench.storage.atomic import write_whole


def merged_actions(
    folder: Path, known: Sequence[CorporateAction], given: Path, prices: Prices, *, replace: bool
) -> ActionsFile:
    """The store's actions with those of a table, written beside its parts; the same again is the same file.

    Raises DataRefused where one action (symbol, date and kind) is told in two ways and `replace` does not say that the
    new one is right, or where the store's prices are adjusted already.
    """
    if prices is Prices.ADJUSTED:
        message = f"its prices are adjusted already, and {given.name} would adjust them a second time."
        raise store_refused("store_differs", message, folder)
    there = {(action.symbol, action.ex_date, action.kind): action for action in known}
    coming = {(action.symbol, action.ex_date, action.kind): action for action in load_actions(given)}
    differing = [key for key, action in coming.items() if key in there and there[key] != action]
    if differing and not replace:
        told = tuple(f"the store has {there[key]}; {given.name} has {coming[key]}" for key in differing[:5])
        message = f"{len(differing):,} actions are told of in two ways; of the first {told[0]}."
        raise store_refused("conflicting_actions", message, given, sample=told)
    merged = sorted({**there, **coming}.values(), key=action_order)
    table = table_of(merged)
    actions_of(table, given.name)  # together they may go in a circle
    buffer = BytesIO()
    table.write_parquet(buffer, compression="zstd")
    sha256 = hashlib.sha256(buffer.getvalue()).hexdigest()
    file = f"actions-{sha256[:12]}.parquet"
    if not os.path.exists(folder / file):
        write_whole(folder / file, buffer.getvalue())
    return ActionsFile(file=file, sha256=sha256, rows=len(merged))
