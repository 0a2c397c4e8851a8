"""RemoteMonitor: send each epoch's metrics to a server."""

import json
import math
from urllib.parse import urlencode, urlsplit

from pydantic import field_validator

from kerascli.callbacks.base import Callback, EpochFacts, Response, State, callback
from kerascli.foundation.events import Post


@callback()
class RemoteMonitor(Callback):
    """Send the metrics of each epoch to a server by HTTP POST, as JSON with the epoch's number (from 0).

    Values that are not finite are sent as null. Training waits a few seconds at most for an answer; a server that does
    not answer is reported once.
    """

    root: str = "http://localhost:9000"
    """Address of the server to send metrics to, http or https."""
    path: str = "/publish/epoch/end/"
    """Path on the server, which is appended to the address `root`."""
    field: str = "data"
    """Name of the form field that holds the JSON if `send_as_json` is false."""
    headers: dict[str, str] | None = None
    """HTTP headers to add to each request; null: none."""
    send_as_json: bool = False
    """Send the JSON as the request body (application/json), not in a form field."""

    @field_validator("root")
    @classmethod
    def _is_a_server(cls, value: str) -> str:
        address = urlsplit(value)
        if address.scheme not in {"http", "https"} or not address.netloc:
            raise ValueError(f"expected an address such as http://localhost:9000, got '{value}'")
        return value

    def epoch_end(self, facts: EpochFacts, state: State) -> Response:
        metrics = {name: value if math.isfinite(value) else None for name, value in facts.logs.items()}
        text = json.dumps({"epoch": facts.epoch - 1, **metrics})
        kind = "application/json" if self.send_as_json else "application/x-www-form-urlencoded"
        body = text if self.send_as_json else urlencode({self.field: text})
        return [Post(self.root + self.path, body.encode(), {"Content-Type": kind, **(self.headers or {})})], state
