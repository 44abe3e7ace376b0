"""Write all that is known about a run into one page."""
