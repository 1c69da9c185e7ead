"""Which messages of a partition are settled."""

from collections import deque


class Offsets:
    """Up to where the messages of a partition are settled, though they are not settled in their order."""

    def __init__(self) -> None:
        self.settled: int | None = None
        """The offset that reading would begin at again; None if no message has come."""
        self._begun: deque[int] = deque()
        self._done: set[int] = set()

    @property
    def span(self) -> int:
        """How far the last message is from the first one that is not settled."""
        return self._begun[-1] - self._begun[0] + 1 if self._begun else 0

    def begin(self, offset: int) -> None:
        """Note that the message at *offset*, which is behind all others, has come."""
        if self.settled is None:
            self.settled = offset
        self._begun.append(offset)

    def settle(self, offset: int) -> None:
        """Note that the message at *offset* is settled."""
        self._done.add(offset)
        while self._begun and self._begun[0] in self._done:
            first = self._begun.popleft()
            self._done.remove(first)
            self.settled = first + 1
