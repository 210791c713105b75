"""Kafka for everything that is not a stage: clients, topics, offsets, reading and writing."""
