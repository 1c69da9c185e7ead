"""Known paths: `eventsource.repositories` and what else is found where users look for it."""

import importlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from eventsource.repositories import EventSourceJSONEncoder, json_dumps, json_loads

HOMES = {
    "eventsource.repositories": {
        "CheckpointData": "eventsource.projections.checkpoints.values",
        "CheckpointRepository": "eventsource.projections.checkpoints.interface",
        "DLQEntry": "eventsource.projections.dead_letters.values",
        "DLQRepository": "eventsource.projections.dead_letters.interface",
        "DLQStats": "eventsource.projections.dead_letters.values",
        "EventSourceJSONEncoder": "eventsource.repositories.json_values",
        "InMemoryCheckpointRepository": "eventsource.projections.checkpoints.in_memory",
        "InMemoryDLQRepository": "eventsource.projections.dead_letters.in_memory",
        "LagMetrics": "eventsource.projections.checkpoints.values",
        "ProjectionFailureCount": "eventsource.projections.dead_letters.values",
        "PostgreSQLCheckpointRepository": "eventsource.projections.checkpoints.postgresql",
        "SQLiteCheckpointRepository": "eventsource.projections.checkpoints.sqlite",
        "PostgreSQLDLQRepository": "eventsource.projections.dead_letters.postgresql",
        "SQLiteDLQRepository": "eventsource.projections.dead_letters.sqlite",
        "json_dumps": "eventsource.repositories.json_values",
        "json_loads": "eventsource.repositories.json_values",
    },
    "eventsource.repositories.checkpoint": {
        "CheckpointData": "eventsource.projections.checkpoints.values",
        "CheckpointRepository": "eventsource.projections.checkpoints.interface",
        "InMemoryCheckpointRepository": "eventsource.projections.checkpoints.in_memory",
        "LagMetrics": "eventsource.projections.checkpoints.values",
        "PostgreSQLCheckpointRepository": "eventsource.projections.checkpoints.postgresql",
        "SQLiteCheckpointRepository": "eventsource.projections.checkpoints.sqlite",
    },
    "eventsource.repositories.dlq": {
        "DLQEntry": "eventsource.projections.dead_letters.values",
        "DLQRepository": "eventsource.projections.dead_letters.interface",
        "DLQStats": "eventsource.projections.dead_letters.values",
        "InMemoryDLQRepository": "eventsource.projections.dead_letters.in_memory",
        "ProjectionFailureCount": "eventsource.projections.dead_letters.values",
        "PostgreSQLDLQRepository": "eventsource.projections.dead_letters.postgresql",
        "SQLiteDLQRepository": "eventsource.projections.dead_letters.sqlite",
    },
    "eventsource.projections.retry": {
        "DEFAULT_RETRY_POLICY": "eventsource.retry",
        "ExponentialBackoffRetryPolicy": "eventsource.retry",
        "FilteredRetryPolicy": "eventsource.retry",
        "NoRetryPolicy": "eventsource.retry",
        "RetryConfig": "eventsource.retry",
        "RetryPolicy": "eventsource.retry",
        "calculate_backoff": "eventsource.retry",
    },
    "eventsource.projections.protocols": {
        "AsyncEventHandler": "eventsource.protocols",
        "EventHandler": "eventsource.protocols",
        "EventSubscriber": "eventsource.protocols",
        "SyncEventHandler": "eventsource.protocols",
    },
}
DOOR = UUID("6f1c9a52-7a0e-4b57-9a52-0a4c7c0f4b11")


@pytest.mark.parametrize("path", HOMES)
def test_a_known_path_leads_to_where_the_code_lives(path: str) -> None:
    """Each name is the very object of its home, and no other name is promised."""
    module = importlib.import_module(path)

    assert sorted(module.__all__) == sorted(HOMES[path])
    for name, home in HOMES[path].items():
        assert getattr(module, name) is getattr(importlib.import_module(home), name)


@pytest.mark.parametrize("path", HOMES)
def test_a_name_that_is_not_there_is_an_attribute_error(path: str) -> None:
    """Lazy names do not hide a slip of the pen."""
    module = importlib.import_module(path)

    with pytest.raises(AttributeError, match="has no attribute 'SQLLite'"):
        _ = module.SQLLite


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (DOOR, '"6f1c9a52-7a0e-4b57-9a52-0a4c7c0f4b11"'),
        (datetime(2024, 5, 1, 12, tzinfo=UTC), '"2024-05-01T12:00:00+00:00"'),
        (datetime(2024, 5, 1, 12, 0, 0, 5, UTC), '"2024-05-01T12:00:00.000005+00:00"'),
        (datetime(2024, 5, 1, tzinfo=timezone(timedelta(hours=5, minutes=45))), '"2024-05-01T00:00:00+05:45"'),
        ({"ids": [DOOR], "count": 1, "none": None}, f'{{"ids": ["{DOOR}"], "count": 1, "none": null}}'),
    ],
)
def test_ids_and_moments_are_written_as_text(value: Any, text: str) -> None:
    """Wherever they stand; everything else is written as json does it."""
    assert json_dumps(value) == text
    assert json.dumps(value, cls=EventSourceJSONEncoder) == text


@pytest.mark.parametrize("value", [{1, 2}, object(), b"bytes"])
def test_what_has_no_json_form_is_refused(value: object) -> None:
    """As the standard library refuses it."""
    with pytest.raises(TypeError, match="not JSON serializable"):
        json_dumps({"value": value})


def test_the_options_of_json_can_be_given() -> None:
    """They reach the standard library."""
    assert json_dumps({"b": 1, "a": DOOR}, sort_keys=True, separators=(",", ":")) == f'{{"a":"{DOOR}","b":1}}'


@pytest.mark.parametrize("text", ['{"a": [1, null, "x"]}', b'{"a": [1, null, "x"]}'])
def test_json_is_read_as_plain_values(text: str | bytes) -> None:
    """From text and from bytes."""
    assert json_loads(text) == {"a": [1, None, "x"]}
