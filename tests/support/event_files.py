"""TensorBoard's event files, read back by their format."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")


def events(folder: Path) -> Iterator[Any]:
    """Give the events of a folder as TensorBoard reads them: a file after the other, records with checksums."""
    for path in sorted(folder.glob("events.out.tfevents.*"), key=lambda path: int(path.name.rpartition("-")[2])):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            yield event_pb2.Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]


def curve(folder: Path, name: str) -> list[tuple[int, float]]:
    """Return a figure by step; the start of a session drops all that came at its step or later, as TensorBoard does."""
    points: list[tuple[int, float]] = []
    for event in events(folder):
        if event.session_log.status == event_pb2.SessionLog.START:
            points = [point for point in points if point[0] < event.step]
        points += [(event.step, value.simple_value) for value in event.summary.value if value.tag == name]
    return points
