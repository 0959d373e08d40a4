"""The one error of the pure statistics."""


class InsufficientData(Exception):
    """The data cannot answer the question; `reason` says why, in words for the reader of a report."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
