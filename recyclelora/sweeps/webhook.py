"""News of a sweep, sent to an address on the web: that it ended, that a trial failed, that nothing happens any more."""

import json
import threading
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

from recyclelora.errors import InputError, reason_of

PATIENCE = 10.0  # seconds for one message


class Webhook:
    """Sends each message as JSON with `text`, which is what Slack, Mattermost and Teams show, and with `sweep` and
    `event` (`ended`, `stopped`, `failed`, `stalled`). A message that does not arrive costs a line and nothing else.
    The address is a secret: neither `say` nor an error tells more of it than its host."""

    def __init__(self, address: str, sweep: str, say: Callable[[str], None]) -> None:
        self._address, self._sweep, self._say = check_webhook(address), sweep, say
        self._sent: list[threading.Thread] = []

    def send(self, event: str, text: str) -> None:
        """Send a message in the background."""
        thread = threading.Thread(target=self._post, args=(event, text), daemon=True, name="webhook")
        thread.start()
        self._sent = [each for each in self._sent if each.is_alive()] + [thread]

    def close(self) -> None:
        """Wait until all has been sent, or given up."""
        for thread in self._sent:
            thread.join(PATIENCE)

    def _post(self, event: str, text: str) -> None:
        body = {"text": f"{self._sweep}: {text}", "sweep": self._sweep, "event": event}
        try:
            request = urllib.request.Request(self._address, json.dumps(body).encode(),
                                             {"Content-Type": "application/json", "User-Agent": "recyclelora"})
            urllib.request.urlopen(request, timeout=PATIENCE).close()
        except Exception as error:  # whatever the network does, the sweep goes on
            reason = reason_of(error).replace(self._address, "...")
            self._say(f"the webhook at {urlsplit(self._address).hostname} did not take a message ({reason})")


def check_webhook(address: str) -> str:
    """The address. Raises InputError for one that is none."""
    try:
        parts = urlsplit(address)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound or any(sign.isspace() for sign in address):
        raise InputError("RECYCLELORA_NOTIFY: is no address of a webhook; it must look like https://example.com/hook")
    return address
