"""A program run as ``python -m`` would run it, and sampled: ``python -m benchmarks.profiled MODULE ARGUMENTS…``."""

from __future__ import annotations

import os
import runpy
import sys

from benchmarks import sampler

__all__: list[str] = []

if __name__ == "__main__":
    del sys.argv[0]
    sampler.start(os.environ.get("BOOM_ROLE", "all"))
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
