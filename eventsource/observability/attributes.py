"""
The names of span attributes, to use them in spans of one's own too.

``db.*`` and ``messaging.*`` are names of the semantic conventions as users of this library know them; the current
conventions call some of them otherwise.
"""

ATTR_AGGREGATE_ID = "eventsource.aggregate.id"
ATTR_AGGREGATE_TYPE = "eventsource.aggregate.type"
ATTR_EVENT_ID = "eventsource.event.id"
ATTR_EVENT_TYPE = "eventsource.event.type"
ATTR_EVENT_TYPES = "eventsource.event.types"
ATTR_EVENT_COUNT = "eventsource.event.count"
ATTR_EVENTS_REPLAYED = "eventsource.events.replayed"
ATTR_VERSION = "eventsource.version"
ATTR_EXPECTED_VERSION = "eventsource.expected_version"
ATTR_FROM_VERSION = "eventsource.from_version"
ATTR_APPEND_SHARED = "eventsource.append.shared"
ATTR_STREAM_ID = "eventsource.stream.id"
ATTR_POSITION = "eventsource.position"
ATTR_FROM_POSITION = "eventsource.from_position"
ATTR_TO_POSITION = "eventsource.to_position"
ATTR_BATCH_SIZE = "eventsource.batch.size"
ATTR_BUFFER_SIZE = "eventsource.buffer.size"
ATTR_EVENTS_PROCESSED = "eventsource.events.processed"
ATTR_EVENTS_SKIPPED = "eventsource.events.skipped"
ATTR_TENANT_ID = "eventsource.tenant.id"
ATTR_ACTOR_ID = "eventsource.actor.id"
ATTR_CORRELATION_ID = "eventsource.correlation.id"
ATTR_CAUSATION_ID = "eventsource.causation.id"

ATTR_SNAPSHOT_USED = "eventsource.snapshot.used"
ATTR_SNAPSHOT_FOUND = "eventsource.snapshot.found"

ATTR_PROJECTION_NAME = "eventsource.projection.name"
ATTR_PROJECTION_REPLAY = "eventsource.projection.replay"
ATTR_HANDLER_NAME = "eventsource.handler.name"
ATTR_HANDLER_COUNT = "eventsource.handler.count"
ATTR_HANDLER_SUCCESS = "eventsource.handler.success"
ATTR_RETRY_COUNT = "eventsource.retry.count"
ATTR_ERROR_TYPE = "eventsource.error.type"

ATTR_DB_SYSTEM = "db.system"
ATTR_DB_NAME = "db.name"
ATTR_DB_OPERATION = "db.operation"
ATTR_MESSAGING_SYSTEM = "messaging.system"
ATTR_MESSAGING_DESTINATION = "messaging.destination"
ATTR_MESSAGING_OPERATION = "messaging.operation"

ATTR_WATERMARK = "eventsource.watermark"
ATTR_SUBSCRIPTION_NAME = "eventsource.subscription.name"
ATTR_SUBSCRIPTION_STATE = "eventsource.subscription.state"
ATTR_SUBSCRIPTION_PHASE = "eventsource.subscription.phase"
ATTR_LOCK_KEY = "eventsource.lock.key"
ATTR_LOCK_ID = "eventsource.lock.id"
ATTR_LOCK_TIMEOUT = "eventsource.lock.timeout"
ATTR_LOCK_ACQUIRED = "eventsource.lock.acquired"
ATTR_MIGRATION_ID = "eventsource.migration.id"
ATTR_MIGRATION_PHASE = "eventsource.migration.phase"
ATTR_MIGRATION_TENANT_ID = "eventsource.migration.tenant_id"
ATTR_MIGRATION_SOURCE_STORE = "eventsource.migration.source_store"
ATTR_MIGRATION_TARGET_STORE = "eventsource.migration.target_store"
ATTR_MIGRATION_EVENTS_COPIED = "eventsource.migration.events_copied"
ATTR_MIGRATION_EVENTS_TOTAL = "eventsource.migration.events_total"
ATTR_MIGRATION_PROGRESS_PERCENT = "eventsource.migration.progress_percent"
ATTR_MIGRATION_SYNC_LAG_EVENTS = "eventsource.migration.sync_lag_events"
ATTR_MIGRATION_SYNC_LAG_MS = "eventsource.migration.sync_lag_ms"

__all__ = [
    "ATTR_ACTOR_ID",
    "ATTR_AGGREGATE_ID",
    "ATTR_AGGREGATE_TYPE",
    "ATTR_APPEND_SHARED",
    "ATTR_BATCH_SIZE",
    "ATTR_BUFFER_SIZE",
    "ATTR_CAUSATION_ID",
    "ATTR_CORRELATION_ID",
    "ATTR_DB_NAME",
    "ATTR_DB_OPERATION",
    "ATTR_DB_SYSTEM",
    "ATTR_ERROR_TYPE",
    "ATTR_EVENTS_PROCESSED",
    "ATTR_EVENTS_REPLAYED",
    "ATTR_EVENTS_SKIPPED",
    "ATTR_EVENT_COUNT",
    "ATTR_EVENT_ID",
    "ATTR_EVENT_TYPE",
    "ATTR_EVENT_TYPES",
    "ATTR_EXPECTED_VERSION",
    "ATTR_FROM_POSITION",
    "ATTR_FROM_VERSION",
    "ATTR_HANDLER_COUNT",
    "ATTR_HANDLER_NAME",
    "ATTR_HANDLER_SUCCESS",
    "ATTR_LOCK_ACQUIRED",
    "ATTR_LOCK_ID",
    "ATTR_LOCK_KEY",
    "ATTR_LOCK_TIMEOUT",
    "ATTR_MESSAGING_DESTINATION",
    "ATTR_MESSAGING_OPERATION",
    "ATTR_MESSAGING_SYSTEM",
    "ATTR_MIGRATION_EVENTS_COPIED",
    "ATTR_MIGRATION_EVENTS_TOTAL",
    "ATTR_MIGRATION_ID",
    "ATTR_MIGRATION_PHASE",
    "ATTR_MIGRATION_PROGRESS_PERCENT",
    "ATTR_MIGRATION_SOURCE_STORE",
    "ATTR_MIGRATION_SYNC_LAG_EVENTS",
    "ATTR_MIGRATION_SYNC_LAG_MS",
    "ATTR_MIGRATION_TARGET_STORE",
    "ATTR_MIGRATION_TENANT_ID",
    "ATTR_POSITION",
    "ATTR_PROJECTION_NAME",
    "ATTR_PROJECTION_REPLAY",
    "ATTR_RETRY_COUNT",
    "ATTR_SNAPSHOT_FOUND",
    "ATTR_SNAPSHOT_USED",
    "ATTR_STREAM_ID",
    "ATTR_SUBSCRIPTION_NAME",
    "ATTR_SUBSCRIPTION_PHASE",
    "ATTR_SUBSCRIPTION_STATE",
    "ATTR_TENANT_ID",
    "ATTR_TO_POSITION",
    "ATTR_VERSION",
    "ATTR_WATERMARK",
]
