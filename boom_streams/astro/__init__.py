"""Pure numbers of astronomy, of no survey: positions, times, photometry, FITS images."""
