"""A session's bars as they arrive: one Arrow stream file, one batch per boundary, a torn tail told apart (§5, §19).

The file is a plain Arrow IPC stream that any Arrow reader opens. Its schema carries the universe and the interval,
each batch its boundary, kind and content hash.
"""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
from pyarrow import ipc

from qmworkbench.storage.refused import StoreDamaged, StoreNewer
from qmworkbench.storage.times import stored_time
from qmworkbench.trading.frames import BarFrame

PRICES: Final = ("open", "high", "low", "close", "volume")
_COLUMNS: Final = ("index", *PRICES)
_SCHEMA: Final = pa.schema(
    [pa.field("index", pa.int32(), nullable=False)] + [pa.field(name, pa.float64(), nullable=False) for name in PRICES]
)
_SCHEMA_BYTES: Final = len(_SCHEMA.serialize())
_ROW_BYTES: Final = 4 + 8 * len(PRICES)
_ENVELOPE_BYTES: Final = 4096
_FORM: Final = 1


class Kind(StrEnum):
    """BARS are what the session decided with; a CORRECTION came later and changes no decision."""

    BARS = "bars"
    CORRECTION = "correction"


class Shape(msgspec.Struct, frozen=True):
    """What every frame of a session has in common: the universe in order, and the bar interval in seconds."""

    symbols: tuple[str, ...]
    interval_s: int

    @property
    def content_hash(self) -> str:
        text = "\x1f".join((*self.symbols, str(self.interval_s)))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class StoredFrame(msgspec.Struct, frozen=True):
    """One whole batch: where it ends in the file, and the hash stored with it beside the frame as it reads now."""

    frame: BarFrame
    kind: Kind
    stored_hash: str
    end: int

    @property
    def intact(self) -> bool:
        return self.frame.content_hash == self.stored_hash


class Scan(msgspec.Struct, frozen=True):
    """A segment file read to its end: `whole_bytes` of `size_bytes` are whole batches, the rest is a torn tail."""

    shape: Shape
    frames: tuple[StoredFrame, ...]
    whole_bytes: int
    size_bytes: int


def header(shape: Shape) -> bytes:
    """The bytes a segment file begins with."""
    metadata = {
        "form": str(_FORM),
        "symbols": msgspec.json.encode(shape.symbols),
        "interval_s": str(shape.interval_s),
        "shape_hash": shape.content_hash,
    }
    return _SCHEMA.with_metadata(metadata).serialize().to_pybytes()  # type: ignore[no-any-return]


def batch(frame: BarFrame, kind: Kind) -> memoryview:
    """A frame as one message of the stream. The columns are not copied but into the message itself."""
    arrays = [
        pa.Array.from_buffers(field.type, len(frame), [None, pa.py_buffer(_column(frame, field.name))])
        for field in _SCHEMA
    ]
    metadata = {
        "as_of": stored_time(frame.as_of),
        "extended": "1" if frame.extended else "0",
        "kind": kind.value,
        "hash": frame.content_hash,
    }
    buffer = bytearray(len(frame) * _ROW_BYTES + _ENVELOPE_BYTES)
    sink = pa.FixedSizeBufferWriter(pa.py_buffer(buffer))
    # A new stream each time: its schema message is left out below, what remains is one batch message.
    writer = ipc.new_stream(sink, _SCHEMA)
    writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA), custom_metadata=metadata)
    return memoryview(buffer)[_SCHEMA_BYTES : sink.tell()]


def scan(path: Path) -> Scan | None:
    """Read a segment file to the last whole, intact batch. None when not even its header is whole.

    Raises StoreDamaged when an intact batch follows a changed one: that is no torn tail.
    """
    content = path.read_bytes()
    source = pa.BufferReader(content)
    try:
        reader = ipc.open_stream(source)
    except (pa.ArrowException, OSError, ValueError):
        return None
    shape = _shape(path, reader.schema)
    frames: list[StoredFrame] = []
    start = source.tell()
    for stored in _batches(path, reader, source):
        frames.append(stored)
    intact = [stored.intact for stored in frames]
    kept = max((n for n, whole in enumerate(intact, 1) if whole), default=0)
    if not all(intact[:kept]):
        bad = frames[intact.index(False)].frame.as_of
        raise StoreDamaged(
            f"{path}: the bars of {stored_time(bad)} were changed after they were written; later ones are whole. "
            "Restore the file from a copy, or keep it as evidence and begin a new book (`qm day --fresh`)"
        )
    whole_bytes = frames[kept - 1].end if kept else start
    return Scan(shape=shape, frames=tuple(frames[:kept]), whole_bytes=whole_bytes, size_bytes=len(content))


def check(frame: BarFrame, symbols: int) -> None:
    """Refuse a frame that could not be read back as it is. Raises ValueError naming boundary and column."""
    stored_time(frame.as_of)
    for name in _COLUMNS:
        column = getattr(frame, name)
        expected = np.dtype(np.int32 if name == "index" else np.float64)
        if column.dtype != expected or column.shape != (len(frame),):
            raise ValueError(
                f"bars of {frame.as_of.isoformat()}: column {name} is {column.dtype}{column.shape}, "
                f"need {expected}({len(frame)},)"
            )
    index = frame.index
    if len(index) and (index[0] < 0 or index[-1] >= symbols or not bool((index[1:] > index[:-1]).all())):
        raise ValueError(
            f"bars of {frame.as_of.isoformat()}: index must ascend within 0 … {symbols - 1}, the session's universe"
        )


def _column(frame: BarFrame, name: str) -> Any:
    return np.ascontiguousarray(getattr(frame, name))


def _shape(path: Path, schema: Any) -> Shape:
    found = {key.decode(errors="replace"): value for key, value in (schema.metadata or {}).items()}
    form = found.get("form", b"").decode(errors="replace")
    if form.isdigit() and int(form) > _FORM:
        raise StoreNewer(f"{path} has form {form}, this version knows {_FORM}: update the workbench to read it")
    try:
        shape = Shape(msgspec.json.decode(found["symbols"], type=tuple[str, ...]), int(found["interval_s"]))
        fits = schema.remove_metadata().equals(_SCHEMA) and found["shape_hash"].decode() == shape.content_hash
    except (KeyError, ValueError):
        fits = False
    if not fits:
        raise StoreDamaged(f"{path} does not begin as a bar segment file does: restore it from a copy")
    return shape


def _batches(path: Path, reader: Any, source: Any) -> Iterator[StoredFrame]:
    """Whole messages until the end or the tear; whether their content is intact is for the caller to see."""
    while True:
        try:
            message = reader.read_next_batch_with_custom_metadata()
            facts = {key.decode(): value.decode() for key, value in dict(message.custom_metadata).items()}
            frame = _frame(message.batch, facts)
            stored = StoredFrame(frame=frame, kind=Kind(facts["kind"]), stored_hash=facts["hash"], end=source.tell())
        except (StopIteration, pa.ArrowException, OSError, KeyError, ValueError, TypeError, AttributeError):
            return
        yield stored


def _frame(stored: Any, facts: dict[str, str]) -> BarFrame:
    def column(name: str, dtype: Any) -> Any:
        return np.frombuffer(stored.column(name).buffers()[1], dtype=dtype, count=stored.num_rows)

    return BarFrame(
        as_of=datetime.fromisoformat(facts["as_of"]),
        index=column("index", np.int32),
        extended=facts["extended"] == "1",
        **{name: column(name, np.float64) for name in PRICES},
    )


def in_order(frames: Sequence[StoredFrame], kind: Kind) -> list[BarFrame]:
    """The frames of one kind, as they were appended."""
    return [stored.frame for stored in frames if stored.kind is kind]
