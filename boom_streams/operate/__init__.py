"""What an operator does: prepare, watch, mend."""
