"""What is remembered: RocksDB tables with changelogs in Kafka."""

if __name__ != "boom_streams.tables":
    raise ImportError("import boom_streams.tables, not tables")
