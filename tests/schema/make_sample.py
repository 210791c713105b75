"""Makes the sample of the filtered records' newest format: run it when the format gets another version.

python -m tests.schema.make_sample
"""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
from astropy.io import fits

from boom_streams.schema import formats
from boom_streams.surveys import get_survey
from boom_streams.testing import sample_packets, stages

AVRO = Path(__file__).parents[2] / "schema/avro/filtered"


def make() -> bytes:
    """A filtered record of a made-up alert with small stamps."""
    survey = get_survey("ZTF")
    (value,) = stages.classified(stages.enriched(sample_packets("ZTF", 1)), stages.Memory())
    data = io.BytesIO()
    fits.PrimaryHDU(np.arange(25, dtype=np.float32).reshape(5, 5)).writeto(data)
    stamp = gzip.compress(data.getvalue(), mtime=0)
    return stages.filtered(
        value, "65f2c7d0", annotations='{"age": 3.25}', cutouts=dict.fromkeys(survey.stamps.names, stamp)
    )


if __name__ == "__main__":
    (AVRO / str(formats.FILTERED.version) / "sample.avro").write_bytes(make())
