"""The table of objects: histories in chunks of a month."""
