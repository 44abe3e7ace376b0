"""Search for a better config with keras-tuner."""
