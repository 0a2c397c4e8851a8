"""Send metrics to a server by HTTP POST, for callbacks, with a short timeout; errors are returned, not raised."""

from kerascli.foundation.events import Post

TIMEOUT_SECONDS = 3.0


def post(request: Post) -> str | None:
    """Send a POST request; return None on success, else an error message."""
    from http.client import HTTPException
    from urllib.request import Request, urlopen

    try:
        with urlopen(Request(request.url, request.body, dict(request.headers)), timeout=TIMEOUT_SECONDS):
            return None
    except (OSError, HTTPException, ValueError) as error:
        return str(getattr(error, "reason", None) or error) or type(error).__name__
