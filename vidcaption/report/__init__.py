"""Pages and pictures that show what a model says, and where it looked."""
