"""Digit Recognizer: k-fold CNNs, an honest score, and a submission that can be trusted."""

__version__ = "0.1.0"
