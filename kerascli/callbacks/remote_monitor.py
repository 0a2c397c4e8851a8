"""RemoteMonitor: send each epoch's figures to a server."""

import json
import math
from urllib.parse import urlencode, urlsplit

from pydantic import field_validator

from kerascli.callbacks.base import Callback, Decision, EpochFacts, Post, State, callback


@callback()
class RemoteMonitor(Callback):
    """Posts a mapping of figures, with the epoch's number from 0. A server that does not answer is said once.

    Training waits a few seconds for it at most. Figures that are no finite numbers are sent as null.
    """

    root: str = "http://localhost:9000"
    """The server."""
    path: str = "/publish/epoch/end/"
    """Where on it."""
    field: str = "data"
    """The form's field, without `send_as_json`."""
    headers: dict[str, str] | None = None
    """Sent along."""
    send_as_json: bool = False
    """Send JSON itself, not a form that has it in a field."""

    @field_validator("root")
    @classmethod
    def _is_a_server(cls, value: str) -> str:
        address = urlsplit(value)
        if address.scheme not in {"http", "https"} or not address.netloc:
            raise ValueError(f"expected an address such as http://localhost:9000, got '{value}'")
        return value

    def epoch_end(self, facts: EpochFacts, state: State) -> tuple[list[Decision], State]:
        figures = {name: value if math.isfinite(value) else None for name, value in facts.logs.items()}
        text = json.dumps({"epoch": facts.epoch - 1, **figures})
        kind = "application/json" if self.send_as_json else "application/x-www-form-urlencoded"
        body = text if self.send_as_json else urlencode({self.field: text})
        return [Post(self.root + self.path, body.encode(), {"Content-Type": kind, **(self.headers or {})})], state
