"""What reading a container takes: memory and time, measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_SCRIPT = """
import json, resource, sys, time
from pathlib import Path
from boom_streams.astro.fits import pixels
from boom_streams.errors import BadRecord
from boom_streams.ingest.raw_records import raw_batch
from boom_streams.surveys import get_survey

survey = get_survey("ZTF")
data = [Path(path).read_bytes() for path in sys.argv[1:]]
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
batch = raw_batch(data, survey, 4)
reasons = [reason for _, reason in batch.bad]
good = points = 0
for alert in survey.decode([record.value for record in batch.records if not record.headers]):
    if isinstance(alert, BadRecord):
        reasons.append(str(alert))
    else:
        good += 1
        points += sum(map(len, alert.series.values()))
        for stamp in alert.cutouts.values():
            try:
                pixels(stamp)
            except BadRecord as error:
                reasons.append(str(error))
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps([good, points, reasons[:5], used // 1024, time.process_time() - start]))
"""


class Cost(NamedTuple):
    """What came of containers, and what it took."""

    alerts: int
    points: int
    reasons: list[str]
    """The first five."""
    megabytes: int
    """By which the process grew."""
    seconds: float
    """Of CPU."""


def cost(folder: Path, containers: Sequence[bytes]) -> Cost:
    """Read containers of ZTF as the broker does: into raw records, and these into alerts and images."""
    paths = []
    for number, data in enumerate(containers):
        paths.append(folder / f"{number}.avro")
        paths[-1].write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, *map(str, paths)], capture_output=True, text=True, check=False, timeout=250
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return Cost(*json.loads(done.stdout))
