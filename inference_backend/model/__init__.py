"""The torch model: the mathematics of `reference.py` on weights as they are stored, whole or one rank's share."""
