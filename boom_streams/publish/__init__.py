"""What leaves the broker for people."""
