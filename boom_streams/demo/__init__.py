"""`boom-streams demo`: a night through the whole broker."""
