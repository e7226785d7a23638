"""Whether the Hugging Face hub can be asked for benchmarks. Imports none of its libraries, which read the answer."""

import os
import urllib.request

_YES = ("1", "ON", "YES", "TRUE")  # the values that the hub's own library takes for a yes
_SECONDS = 3


def hub_reachable() -> bool:
    """Whether stock tasks may be read from the hub: ``HF_HUB_OFFLINE`` does not forbid it, and ``HF_ENDPOINT`` answers.

    One request without a body, given up after three seconds.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in _YES:
        return False
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        with urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=_SECONDS):
            return True
    except (OSError, ValueError):
        return False
