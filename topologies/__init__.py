"""The order of the stages: which agent reads which topic, with which tables."""

if __name__ != "boom_streams.topologies":
    raise ImportError("import boom_streams.topologies, not topologies")
