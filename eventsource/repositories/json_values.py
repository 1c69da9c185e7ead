"""JSON with the values that events have: ids and moments as text."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID


class EventSourceJSONEncoder(json.JSONEncoder):
    """Writes a UUID as its text and a moment in ISO 8601."""

    def default(self, o: Any) -> Any:
        """
        Return the JSON value for *o*.

        Raises:
            TypeError: If there is none.
        """
        if isinstance(o, UUID):
            return str(o)
        if isinstance(o, datetime):
            return o.isoformat()
        return super().default(o)


def json_dumps(values: Any, **options: Any) -> str:
    """Return *values* as JSON text."""
    return json.dumps(values, cls=EventSourceJSONEncoder, **options)


def json_loads(text: str | bytes) -> Any:
    """Return the values that are in JSON *text*."""
    return json.loads(text)
