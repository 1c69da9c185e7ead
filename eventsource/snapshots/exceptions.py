"""What can be wrong with a snapshot."""

from uuid import UUID

from eventsource.exceptions import EventSourceError


class SnapshotError(EventSourceError):
    """A snapshot could not be used."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class SnapshotDeserializationError(SnapshotError):
    """The state in the snapshot is none that the aggregate can be restored from."""

    def __init__(
        self,
        aggregate_id: UUID,
        aggregate_type: str,
        original_error: Exception | None = None,
        message: str | None = None,
    ) -> None:
        reason = message or f"{type(original_error).__name__} while restoring the state"
        super().__init__(f"Snapshot of {aggregate_type} {aggregate_id} cannot be read: {reason}; delete it")
        self.aggregate_id = aggregate_id
        self.aggregate_type = aggregate_type
        self.original_error = original_error


class SnapshotSchemaVersionError(SnapshotError):
    """The snapshot was taken by another version of the aggregate's class."""

    def __init__(
        self, aggregate_id: UUID, aggregate_type: str, snapshot_schema_version: int, expected_schema_version: int
    ) -> None:
        super().__init__(
            f"Snapshot of {aggregate_type} {aggregate_id} has schema version {snapshot_schema_version}, "
            f"expected {expected_schema_version}"
        )
        self.aggregate_id = aggregate_id
        self.aggregate_type = aggregate_type
        self.snapshot_schema_version = snapshot_schema_version
        self.expected_schema_version = expected_schema_version


class SnapshotNotFoundError(SnapshotError):
    """The aggregate has no snapshot."""

    def __init__(self, aggregate_id: UUID, aggregate_type: str) -> None:
        super().__init__(f"No snapshot of {aggregate_type} {aggregate_id}")
        self.aggregate_id = aggregate_id
        self.aggregate_type = aggregate_type
