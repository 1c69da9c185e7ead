"""Whatever kills the process, what it was told is stored is stored."""

import asyncio
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path

from eventsource.stores.sqlite import SQLiteEventStore

from .conftest import Start
