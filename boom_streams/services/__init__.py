"""Local services without Docker: a private Kafka and mongod, on free ports of 127.0.0.1.

``start``, ``stop`` and ``status`` take the data folder (``settings.data_dir``); all that the services
write lies in it, and ``services.json`` there has their addresses, which the settings read.
"""

from __future__ import annotations

from boom_streams.services.control import Service, ServiceStatus, start, status, stop
from boom_streams.services.state import Endpoints
from boom_streams.services.system import INSTALL

__all__ = ["INSTALL", "Endpoints", "Service", "ServiceStatus", "start", "status", "stop"]
