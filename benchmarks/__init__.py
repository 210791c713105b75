"""``make bench``: what an alert costs in each process, how many pass a second, and how long one takes."""
