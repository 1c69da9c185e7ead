"""The servers that tests and benchmarks use: one of each that all share, and private ones that may be killed."""
