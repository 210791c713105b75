"""Filters on alerts in flight and in the archive."""
