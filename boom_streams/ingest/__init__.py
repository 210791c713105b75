"""From what surveys publish to records of `<survey>.raw`."""
