"""Light curves: statistics of what has been measured."""
