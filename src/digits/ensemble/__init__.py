"""From the members' logits to calibrated probabilities and scores with intervals."""
