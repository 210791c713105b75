"""What can go wrong.

* BoomError: any error of this package that a person should read; the CLI prints it and exits with 1
  x BadRecord: the record itself is at fault; the stage sends it to ``<survey>.dead`` with the reason
  x SettingsError: a setting is unknown or invalid; raised before anything starts
  x CatalogError: a catalogue's description or file is at fault; what was imported before stays in use
  x FilterError: a user's filter is refused, or failed on evaluation and is suspended
  x ServiceError: Kafka or MongoDB is absent or misconfigured; says what to do
    x RefusedError: Kafka refuses one request, however often it is asked
  x DownloadError: a file cannot be had, or is not what it should be; says which and what to do
  x StoreError: RocksDB failed; the worker ends and is started again
  x FormatError: another release wrote what is to be read; the worker or command ends, and nothing is changed
"""

from __future__ import annotations

__all__ = [
    "EXIT_RESTART",
    "BadRecord",
    "BoomError",
    "CatalogError",
    "DownloadError",
    "FilterError",
    "FormatError",
    "RefusedError",
    "ServiceError",
    "SettingsError",
    "StoreError",
]

#: Exit code of a worker that has to be started again.
EXIT_RESTART = 70


class BoomError(Exception):
    """Base of all errors of this package; its text says what was wrong, where, and what to do."""


class BadRecord(BoomError):
    """The record cannot be processed, however often it is tried; it becomes a dead letter."""


class SettingsError(BoomError):
    """A setting is unknown or has an invalid value; the text names it."""


class CatalogError(BoomError):
    """A catalogue cannot be imported as it is; the text names the file, and column and row where it can."""


class FilterError(BoomError):
    """A user's filter is not allowed, or it failed; concerns that filter only."""


class ServiceError(BoomError):
    """Kafka or MongoDB cannot be used as it is."""


class RefusedError(ServiceError):
    """Kafka is well and refuses what was asked: a name, a policy, a permission; asking again does not help."""


class DownloadError(BoomError):
    """A file cannot be downloaded, or what came is not what it should be."""


class StoreError(BoomError):
    """A table cannot be read or written; no record is to blame."""


class FormatError(BoomError):
    """Another release wrote what is to be read; no record is to blame, and the text says which command helps."""
