"""Who may do and see what: what a filter or a person is permitted, and which topics that opens."""
