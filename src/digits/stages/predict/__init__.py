"""Predict people's own pictures with the exported ensemble."""
