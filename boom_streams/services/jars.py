"""Kafka's jars: copied by Maven into the user's cache, once."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from importlib import resources
from pathlib import Path

from boom_streams.errors import ServiceError
from boom_streams.services.system import INSTALL

__all__ = ["VERSION", "fetch", "java"]

_POM = resources.files("boom_streams.services").joinpath("pom.xml").read_text()

#: Version of Kafka, as ``pom.xml`` says.
VERSION = re.search(r"<artifactId>kafka_[\d.]+</artifactId>\s*<version>([\d.]+)<", _POM)[1]  # type: ignore[index]


def java() -> str:
    """Path of the Java program.

    Raises
    ------
    ServiceError
        If there is no Java, naming the command that installs it.
    """
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else None
    found = found or shutil.which("java")
    if found is None:
        raise ServiceError(f"Kafka needs Java 17, which is not installed; run: {INSTALL}")
    return found


def fetch() -> Path:
    """Folder with Kafka's jars; the first call lets Maven copy them, which takes half a minute.

    Several processes may do so at the same time: the folder appears complete, by a rename.

    Raises
    ------
    ServiceError
        If Maven is missing or fails.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "boom_streams"
    target = cache / f"kafka-{VERSION}-{hashlib.sha256(_POM.encode()).hexdigest()[:8]}"
    if target.is_dir():
        return target
    maven = shutil.which("mvn")
    if maven is None:
        raise ServiceError(f"Kafka's jars are copied by Maven, which is not installed; run: {INSTALL}")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="copying-") as folder:
        _copy(maven, Path(folder))
        try:
            (Path(folder) / "jars").rename(target)
        except OSError:
            if not target.is_dir():
                raise
    return target


def _copy(maven: str, folder: Path) -> None:
    (folder / "pom.xml").write_text(_POM)
    command = [maven, "-q", "-B", "-f", str(folder / "pom.xml"), "dependency:copy-dependencies"]
    command += ["-DincludeScope=runtime", f"-DoutputDirectory={folder / 'jars'}"]
    result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if result.returncode or not list((folder / "jars").glob("kafka_*.jar")):
        output = (result.stdout + result.stderr).strip()[-2000:]
        raise ServiceError(f"Maven could not copy Kafka's jars (is Maven Central reachable?):\n{output}")
