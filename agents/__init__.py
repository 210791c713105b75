"""The agents: one verb per file, all built on the delivery module."""

if __name__ != "boom_streams.agents":
    raise ImportError("import boom_streams.agents, not agents")
