"""Client of an MLflow server: its REST interface, with timeouts and size limits.

The address and the credentials come from the environment alone; messages, which a run records, contain neither.
"""

import base64
import json
import os
import re
from collections.abc import Mapping
from http.client import HTTPException
from io import BufferedReader
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import Request, urlopen

from kerascli.foundation.errors import ConfigError, DataError, safe_text

_ADDRESS = "MLFLOW_TRACKING_URI"
_TOKEN, _USER, _PASSWORD = "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
_SERVER = f"the MLflow server of {_ADDRESS}"
_SERVER_ADDRESS = re.compile(r"https?://([\w.-]+|\[[\da-fA-F:]+\])(:\d{1,5})?(/[\w./~-]*)?", re.ASCII)
_CREDENTIALS = f"credentials come from {_TOKEN}, or {_USER} and {_PASSWORD}"
_TIMEOUT_SECONDS = 10.0
_MOST_BYTES = 2**24
"""Maximum size of an answer that is read."""


class Client:
    """Client of an MLflow server.

    Its methods raise DataError if the server does not answer or refuses a request, ConfigError if it refuses the
    credentials.
    """

    def __init__(self) -> None:
        """Read address and credentials from the environment. Raises ConfigError."""
        address, user, password, token = (os.environ.get(name, "") for name in (_ADDRESS, _USER, _PASSWORD, _TOKEN))
        if not _SERVER_ADDRESS.fullmatch(address):
            text = "expected the address of a server, without credentials, in this environment variable"
            raise ConfigError(f"{_ADDRESS}: {text}", hint=f"for example http://localhost:5000; {_CREDENTIALS}")
        if not (token.isascii() and token.isprintable()):
            raise ConfigError(f"{_TOKEN}: it contains characters that an HTTP header cannot have")
        self._api = f"{address.rstrip('/')}/api/2.0"
        basic = base64.b64encode(f"{user}:{password}".encode()).decode() if user and password else ""
        self._authorization = f"Basic {basic}" if basic else f"Bearer {token}" if token else ""
        self._secrets = [each for each in (token, password, basic, address, urlsplit(address).netloc) if each]

    def get(self, endpoint: str, **query: str) -> dict[str, Any] | None:
        """Return the answer to a question; None if the server has no such thing."""
        return self._answer(Request(f"{self._api}/mlflow/{endpoint}?{urlencode(query)}"))

    def post(self, endpoint: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a request that changes something."""
        headers = {"Content-Type": "application/json"}
        return self._answer(Request(f"{self._api}/mlflow/{endpoint}", json.dumps(body).encode(), headers)) or {}

    def put_file(self, path: str, file: BufferedReader, size: int) -> None:
        """Write a file of `size` bytes to a path in the server's storage of artifacts."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        self._answer(Request(f"{self._api}/mlflow-artifacts/artifacts/{quote(path)}", file, headers, method="PUT"))

    def _answer(self, request: Request) -> dict[str, Any] | None:
        """Return the JSON object that the server answers to a request; None if what a GET asks for does not exist."""
        method = request.get_method()
        if self._authorization:
            request.add_unredirected_header("Authorization", self._authorization)
        try:
            try:
                answer = urlopen(request, timeout=_TIMEOUT_SECONDS)
            except HTTPError as error:
                answer = error
            with answer:
                code, content = answer.status, _json(answer.read(_MOST_BYTES))
        except (OSError, HTTPException, OverflowError, ValueError) as error:
            reason = self._without_secrets(str(getattr(error, "reason", None) or error) or type(error).__name__)
            raise DataError(f"{_SERVER} does not answer: {reason}") from None
        if code == 404 and method == "GET":
            return None
        text = f"{code}: {self._without_secrets(str((content or {}).get('message', 'no message')))}"
        if code in {401, 403}:
            raise ConfigError(f"{_SERVER} refuses the credentials ({text})", hint=_CREDENTIALS)
        if code != 200 or (content is None and method != "PUT"):
            raise DataError(f"{_SERVER} answers {text}")
        return content

    def _without_secrets(self, text: str) -> str:
        """Return a text of a server, which may repeat what it was sent, with asterisks for address and credentials."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return safe_text(text, 300)


def _json(data: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
