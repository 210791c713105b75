"""What the local services need of the operating system, and the one command that installs it."""

from __future__ import annotations

import platform

__all__ = ["INSTALL"]


def _java_package() -> str:
    """Package with Java 17 or later: Debian 13 has no 17, and Ubuntu's default may be older."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return "openjdk-17-jre-headless"
    major = release.get("VERSION_ID", "").split(".")[0]
    if release.get("ID") == "debian" and (not major or int(major) >= 13):
        return "default-jre-headless"
    return "openjdk-17-jre-headless"


#: The one command that installs what the services need of the system.
INSTALL = f"sudo apt-get install -y {_java_package()} maven libcurl4"
