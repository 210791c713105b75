"""Who acts: one verb a file, all on the delivery module."""

if __name__ != "boom_streams.agents":
    raise ImportError("import boom_streams.agents, not agents")
