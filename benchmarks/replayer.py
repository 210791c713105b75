"""The replay as a process of its own, whose imports are done before it is measured.

Reads a JSON object a line: ``paths``, and ``rate`` (alerts a second, or null). Answers each with a line when
Kafka has confirmed everything: ``started`` and ``ended`` (Unix time), ``alerts``, ``margins``, ``dead``, ``bytes``.
"""

from __future__ import annotations

import json
import sys
import time

from benchmarks import sampler
from boom_streams.ingest.replay import replay
from boom_streams.settings import load_settings

__all__ = ["main"]


def main() -> None:
    """Replay what standard input names, until it ends."""
    sampler.start("replay")
    settings = load_settings()
    for line in sys.stdin:
        order = json.loads(line)
        started = time.time()
        counts = replay(settings, "ZTF", order["paths"], rate=order["rate"])
        answer = {
            "started": started,
            "ended": time.time(),
            "alerts": counts.alerts,
            "margins": counts.margins,
            "dead": counts.dead,
            "bytes": counts.bytes,
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
