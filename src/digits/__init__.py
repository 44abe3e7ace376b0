"""Digit Recognizer: k-fold CNNs, an honest score, and a submission that can be trusted."""
