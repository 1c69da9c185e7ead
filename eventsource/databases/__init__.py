"""What the stores of one database share: connections, worker threads, transactions."""
