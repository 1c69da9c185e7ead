"""A receiver of telemetry: what exporters send over the wire, to be looked at."""
