"""
Publishes events until all are confirmed, and notes in a file when each one is.

Usage: delivery_publishing.py SYSTEM ADDRESS NAME FILE EVENTS SECONDS LIMIT

Publishes EVENTS events in batches, evenly over so many SECONDS, by several tasks that have aggregates of their own each.
A batch that is refused, or not confirmed within LIMIT seconds, is published again.
Lines: in the end, how many batches were published again, and the seconds that publishing a batch took at most.
"""

import asyncio
import logging
import sys
import time
from itertools import batched

from delivery_buses import bus_at
from delivery_notes import Key, event_of, notebook

from eventsource.bus.broker import BrokerEventBus
from eventsource.exceptions import EventBusError
from eventsource.testing.events import Opened
