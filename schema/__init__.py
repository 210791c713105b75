"""What crosses each boundary: pydantic models and Avro schemas of the topics."""

if __name__ != "boom_streams.schema":
    raise ImportError("import boom_streams.schema, not schema")
