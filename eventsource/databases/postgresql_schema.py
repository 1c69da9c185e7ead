"""
The tables in PostgreSQL, and the function that appends.

`python -m eventsource.databases.postgresql_schema` prints the statements for people who run them themselves.
"""

import argparse
import re
import sys
from itertools import count
from typing import Final

_EVENTS: Final = """
CREATE TABLE IF NOT EXISTS {schema}.events (
    global_position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL UNIQUE,
    event_type text NOT NULL,
    event_version bigint NOT NULL,
    aggregate_id uuid NOT NULL,
    aggregate_type text NOT NULL,
    version bigint NOT NULL,
    tenant_id uuid,
    occurred_at timestamptz NOT NULL,
    stored_at timestamptz NOT NULL,
    payload json NOT NULL,  -- not jsonb, which would change numbers and refuse some texts
    headers json,
    UNIQUE (aggregate_id, aggregate_type, version)
)
"""

# Everything depends on the order of its steps: whoever has the lock sees all that was committed under it, because each
# statement of a volatile function at READ COMMITTED has a snapshot of its own; takes the next positions, under it; and
# gives it back when the transaction is visible. So no position becomes visible after a greater one.
_APPEND: Final = """
CREATE OR REPLACE FUNCTION {schema}.append_events(
    p_lock_timeout integer, p_notify boolean,
    p_aggregate_ids uuid[], p_aggregate_types text[], p_expected_versions bigint[], p_headers json[],
    p_numbers integer[], p_places integer[], p_event_ids uuid[], p_event_types text[], p_event_versions bigint[],
    p_tenant_ids uuid[], p_occurred_at timestamptz[], p_payloads json[]
)
RETURNS TABLE (actual_version bigint, last_position bigint, known json)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off  -- a plan that was made while the table was empty has to do when it is not
AS {quote}
#variable_conflict use_column
DECLARE
    stored_at timestamptz;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'events must be appended at READ COMMITTED, not at %', current_setting('transaction_isolation')
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    PERFORM set_config('lock_timeout', p_lock_timeout::text, true);
    PERFORM pg_advisory_xact_lock({lock}, '{schema_in_literal}.events'::regclass::oid::bigint::bit(32)::integer);
    IF p_notify THEN
        PERFORM pg_notify('eventsource_' || '{schema_in_literal}.events'::regclass::oid, '');
    END IF;
    stored_at := clock_timestamp();
    IF array_length(p_aggregate_ids, 1) = 1 THEN  -- what is said below, for less
        actual_version := coalesce((
            SELECT version FROM {schema}.events
            WHERE aggregate_id = p_aggregate_ids[1] AND aggregate_type = p_aggregate_types[1]
            ORDER BY version DESC LIMIT 1
        ), 0);
        IF (p_expected_versions[1] IN (actual_version, -1) OR (p_expected_versions[1] = -2 AND actual_version > 0))
            AND NOT EXISTS (SELECT FROM {schema}.events WHERE event_id = ANY (p_event_ids))
        THEN
            WITH inserted AS (
                INSERT INTO {schema}.events (event_id, event_type, event_version, aggregate_id, aggregate_type, version,
                    tenant_id, occurred_at, stored_at, payload, headers)
                SELECT event_id, event_type, event_version, p_aggregate_ids[1], p_aggregate_types[1],
                    actual_version + place, tenant_id, occurred_at, stored_at, payload, p_headers[1]
                FROM unnest(p_places, p_event_ids, p_event_types, p_event_versions, p_tenant_ids, p_occurred_at,
                        p_payloads)
                    AS given (place, event_id, event_type, event_version, tenant_id, occurred_at, payload)
                ORDER BY place
                RETURNING global_position
            )
            SELECT max(global_position) INTO last_position FROM inserted;
            RETURN NEXT;
            RETURN;
        END IF;
    END IF;
    RETURN QUERY
    WITH append AS MATERIALIZED (
        SELECT given.*, coalesce(newest.version, 0) AS actual
        FROM unnest(p_aggregate_ids, p_aggregate_types, p_expected_versions, p_headers)
            WITH ORDINALITY AS given (aggregate_id, aggregate_type, expected, headers, number)
        LEFT JOIN LATERAL (
            SELECT version FROM {schema}.events AS stored
            WHERE stored.aggregate_id = given.aggregate_id AND stored.aggregate_type = given.aggregate_type
            ORDER BY version DESC LIMIT 1
        ) AS newest ON true
    ), event AS MATERIALIZED (
        SELECT *
        FROM unnest(p_numbers, p_places, p_event_ids, p_event_types, p_event_versions, p_tenant_ids, p_occurred_at,
                p_payloads)
            AS given (number, place, event_id, event_type, event_version, tenant_id, occurred_at, payload)
    ), known AS MATERIALIZED (
        SELECT event.number, stored.*
        FROM event CROSS JOIN LATERAL (
            SELECT event_id, aggregate_id, aggregate_type, version, global_position
            FROM {schema}.events AS each WHERE each.event_id = event.event_id LIMIT 1
        ) AS stored
    ), inserted AS (
        INSERT INTO {schema}.events (event_id, event_type, event_version, aggregate_id, aggregate_type, version,
            tenant_id, occurred_at, stored_at, payload, headers)
        SELECT event.event_id, event.event_type, event.event_version, append.aggregate_id, append.aggregate_type,
            append.actual + event.place, event.tenant_id, event.occurred_at, stored_at, event.payload, append.headers
        FROM event JOIN append ON append.number = event.number
        WHERE (append.expected IN (append.actual, -1) OR (append.expected = -2 AND append.actual > 0))
            AND event.number NOT IN (SELECT number FROM known)
        ORDER BY event.number, event.place
        RETURNING aggregate_id, aggregate_type, global_position
    )
    SELECT append.actual, written.last_position, found.known
    FROM append
    LEFT JOIN (
        SELECT aggregate_id, aggregate_type, max(global_position) AS last_position FROM inserted GROUP BY 1, 2
    ) AS written ON written.aggregate_id = append.aggregate_id AND written.aggregate_type = append.aggregate_type
    LEFT JOIN (
        SELECT number, json_agg(json_build_array(event_id, aggregate_id, aggregate_type, version, global_position))
            AS known
        FROM known GROUP BY 1
    ) AS found ON found.number = append.number
    ORDER BY append.number;
END
{quote}
"""

_SNAPSHOTS: Final = """
CREATE TABLE IF NOT EXISTS {schema}.snapshots (
    aggregate_id uuid NOT NULL,
    aggregate_type text NOT NULL,
    version bigint NOT NULL,
    schema_version bigint NOT NULL,
    state json NOT NULL,
    created_at text NOT NULL,  -- ISO 8601, with the offset that it was given
    PRIMARY KEY (aggregate_id, aggregate_type)
)
"""

_CHECKPOINTS: Final = """
CREATE TABLE IF NOT EXISTS {schema}.projection_checkpoints (
    projection_name text PRIMARY KEY,
    last_event_id uuid,
    last_event_type text,
    last_processed_at timestamptz,
    events_processed bigint NOT NULL,
    global_position bigint,
    replay_until bigint,
    lease_owner text,
    lease_expires_at double precision NOT NULL  -- seconds since 1970, by the clock of this server
)
"""

_DEAD_LETTERS: Final = """
CREATE TABLE IF NOT EXISTS {schema}.dead_letter_queue (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL,
    projection_name text NOT NULL,
    event_type text NOT NULL,
    event_data text NOT NULL,
    error_message text NOT NULL,
    error_stacktrace text,
    error_type text NOT NULL,
    headers json,
    retry_count bigint NOT NULL,
    first_failed_at timestamptz NOT NULL,
    last_failed_at timestamptz NOT NULL,
    status text NOT NULL DEFAULT 'failed',
    resolved_at timestamptz,
    resolved_by text,
    UNIQUE (projection_name, event_id)
)
"""

TABLES: Final = {
    "events": (_EVENTS, _APPEND),
    "snapshots": (_SNAPSHOTS,),
    "projection_checkpoints": (_CHECKPOINTS,),
    "dead_letter_queue": (_DEAD_LETTERS,),
}
"""The statements that create each table and what belongs to it."""

LOCK: Final = 1_702_260_325
"""The first key of the advisory locks, which tells them from those of others in the same database."""

_PART: Final = re.compile(r"\{(schema|schema_in_literal|lock|quote)\}")

_RIGHTS: Final = {
    "events": "SELECT, INSERT",
    "snapshots": "SELECT, INSERT, UPDATE, DELETE",
    "projection_checkpoints": "SELECT, INSERT, UPDATE",
    "dead_letter_queue": "SELECT, INSERT, UPDATE, DELETE",
}


def quoted(name: str) -> str:
    """Return *name* as an identifier."""
    return '"' + name.replace('"', '""') + '"'


def statements(schema: str, table: str) -> list[str]:
    """Return the statements that create *table* in *schema*, if it is missing, and what belongs to it."""
    quote = next(mark for number in count() if (mark := f"$function{number or ''}$") not in schema)
    literal = quoted(schema).replace("'", "''")
    parts = {"schema": quoted(schema), "schema_in_literal": literal, "lock": str(LOCK), "quote": quote}
    return [_PART.sub(lambda part: parts[part[1]], each) for each in TABLES[table]]


def grants(schema: str, role: str) -> list[str]:
    """Return the statements that give *role* what it needs to use the tables in *schema*."""
    rights = [f"GRANT {right} ON {quoted(schema)}.{table} TO {quoted(role)}" for table, right in _RIGHTS.items()]
    execute = f"GRANT EXECUTE ON FUNCTION {quoted(schema)}.append_events TO {quoted(role)}"
    return [f"GRANT USAGE ON SCHEMA {quoted(schema)} TO {quoted(role)}", *rights, execute]


def main(arguments: list[str] | None = None) -> None:
    """Print what creates the tables, and what a role needs to use them."""
    parser = argparse.ArgumentParser("python -m eventsource.databases.postgresql_schema", description=main.__doc__)
    parser.add_argument("--schema", default="public", help="the schema of the tables (public)")
    parser.add_argument("--role", help="whom to grant what is needed to use them")
    options = parser.parse_args(arguments)
    create = [f"CREATE SCHEMA IF NOT EXISTS {quoted(options.schema)}"]
    create += [each for table in TABLES for each in statements(options.schema, table)]
    create += grants(options.schema, options.role) if options.role else []
    sys.stdout.write("".join(f"{statement.strip()};\n\n" for statement in create))


if __name__ == "__main__":
    main()
