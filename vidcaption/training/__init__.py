"""Training: datasets, cached features, the loop, and its plots."""
