"""The driver, which is an extra."""

try:
    import asyncpg
except ImportError as error:
    raise ImportError("PostgreSQL needs asyncpg: pip install 'eventsource-py[postgresql]'") from error

__all__ = ["asyncpg"]
