"""One HTML file that shows the alerts that passed: stamps, light curve, matches, scores and filters of each."""

from boom_streams.page.page import MOST, Night, render

__all__ = ["MOST", "Night", "render"]
