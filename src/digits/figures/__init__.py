"""The style of all figures, and what more than one stage draws with."""
