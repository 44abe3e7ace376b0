"""Say how good a finished run is, class by class, and how far its probabilities can be believed."""
