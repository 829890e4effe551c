"""The quota of generateContent: so many requests and tokens in any 60 seconds, as Vertex AI counts them."""

from __future__ import annotations

import time
from collections import deque

from gcp_stand_ins.vertex.errors import ApiError

WINDOW_SECONDS = 60.0


class Quota:
    """Counts what was asked in the last 60 seconds, and refuses what is over; what is refused does not count."""

    def __init__(self) -> None:
        self._asked: deque[tuple[float, int]] = deque()
        self._tokens = 0
        self.refused = 0
        self.most_requests = 0
        """In any 60 seconds so far."""
        self.most_tokens = 0

    def take(self, tokens: int, *, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        """Count one request.

        Raises:
            ApiError: it is over the quota; it says when there is room again.
        """
        now = time.monotonic()
        while self._asked and self._asked[0][0] <= now - WINDOW_SECONDS:
            self._tokens -= self._asked.popleft()[1]
        over = requests_per_minute is not None and len(self._asked) >= requests_per_minute
        over = over or (
            tokens_per_minute is not None and self._tokens + tokens > tokens_per_minute and bool(self._asked)
        )
        if over:
            self.refused += 1
            oldest = self._asked[0][0] if self._asked else now
            wait = oldest + WINDOW_SECONDS - now
            raise ApiError(
                "RESOURCE_EXHAUSTED", "Resource exhausted. Please try again later.", retry_after_seconds=wait
            )
        self._asked.append((now, tokens))
        self._tokens += tokens
        self.most_requests = max(self.most_requests, len(self._asked))
        self.most_tokens = max(self.most_tokens, self._tokens)

    def used(self, tokens: int) -> None:
        """Add what the answer to the last request has used."""
        if self._asked:
            asked_at, before = self._asked[-1]
            self._asked[-1] = (asked_at, before + tokens)
            self._tokens += tokens
            self.most_tokens = max(self.most_tokens, self._tokens)
