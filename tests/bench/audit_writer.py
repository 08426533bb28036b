"""One process that writes audit records at a steady rate: ``python -m bench.audit_writer '{"url": ..., ...}'``.

A record is due at its time whether or not those before it are done, as requests are; what it takes is counted from
then. Intents and endings take turns. The figures go to standard output as JSON.
"""

import itertools
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from audit_samples import ending_of, intent_of
from postgres_audit import trail_in

__all__ = ["FIRST", "write"]

FIRST = "-first"
"""What the name of the exchange ends with that is written before the clock starts."""

_THREADS = 16
_HEAD_START_SECONDS = 0.2


def write(url: str, place: str, name: str, records: int, per_s: float) -> dict[str, Any]:
    """Write ``records`` records, ``per_s`` of them a second; how long each took, in milliseconds."""
    trail = trail_in(url, Path(place))
    trail.open_intent(intent_of(name + FIRST))
    trail.close(ending_of(name + FIRST))
    numbers = itertools.count()
    latencies: list[float] = []
    begins = time.perf_counter() + _HEAD_START_SECONDS

    def caller() -> None:
        while (number := next(numbers)) < records:
            due = begins + number / per_s
            time.sleep(max(0.0, due - time.perf_counter()))
            exchange = f"{name}-{number // 2}"
            if number % 2:
                trail.close(ending_of(exchange))
            else:
                trail.open_intent(intent_of(exchange))
            latencies.append((time.perf_counter() - due) * 1000)

    threads = [threading.Thread(target=caller) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begins
    trail.close_session()
    return {"per_s": records / seconds, "latencies_ms": latencies}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(write(**json.loads(sys.argv[1]))))
