"""Avro as surveys write it: containers, schemas, and their fields as columns."""
