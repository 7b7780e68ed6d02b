"""Training as the K2 report describes it, at any size: optimiser, balance, quantisation-aware weights, schedule, data, export."""
