"""Snapshots as a database keeps them, and back."""

from datetime import datetime

import pydantic_core

from eventsource.snapshots.exceptions import SnapshotDeserializationError, SnapshotError
from eventsource.snapshots.operations import GetSnapshot
from eventsource.snapshots.values import Snapshot


def state_of(snapshot: Snapshot) -> str:
    """
    Return the state as JSON text.

    Raises:
        SnapshotError: If a value of it has no JSON form.
    """
    try:
        return pydantic_core.to_json(snapshot.state).decode()
    except (pydantic_core.PydanticSerializationError, UnicodeError) as error:
        name = f"{snapshot.aggregate_type} {snapshot.aggregate_id}"
        raise SnapshotError(f"the state of {name} cannot be written as JSON: {error}; nothing was saved") from error


def snapshot_of(get: GetSnapshot, version: int, schema_version: int, state: str, created_at: str) -> Snapshot:
    """
    Return the snapshot that *get* asks for, of what is kept of it.

    Raises:
        SnapshotDeserializationError: If that is no snapshot.
    """
    try:
        values = pydantic_core.from_json(state)
        if not isinstance(values, dict):
            raise ValueError(f"the state is of type {type(values).__name__}, not an object")
        created = datetime.fromisoformat(created_at)
    except ValueError as error:
        raise SnapshotDeserializationError(get.aggregate_id, get.aggregate_type, error, str(error)) from error
    return Snapshot(get.aggregate_id, get.aggregate_type, version, values, schema_version, created)
