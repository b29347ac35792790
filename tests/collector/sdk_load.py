"""One process that sends events with a real Python SDK, and says at the end which of them the SDK gave up.

python -m tests.collector.sdk_load segment|rudder URL KEY NAME COUNT PACE_SECONDS
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any


def main() -> None:
    """Send COUNT events, one every PACE seconds, wait for all of them, print {"sent", "given_up"}."""
    sdk, url, key, name, count, pace = sys.argv[1:]
    if sdk == "segment":
        from segment.analytics.client import Client
    else:
        from rudderstack.analytics.client import Client
    given_up: list[str] = []

    def on_error(_: Exception, items: list[dict[str, Any]]) -> None:
        given_up.extend(item["messageId"] for item in items)

    client = Client(key, host=url, on_error=on_error, max_retries=30, upload_size=20, upload_interval=0.2, timeout=5)
    sent = []
    for number in range(int(count)):
        mark = f"{name}-{number}"
        client.track(f"u{number % 7}", "Loaded", {"mark": mark, "email": "lena@example.com"}, message_id=mark)
        sent.append(mark)
        time.sleep(float(pace))
    client.flush()
    client.join()
    print(json.dumps({"sent": sent, "given_up": given_up}))


if __name__ == "__main__":
    main()
