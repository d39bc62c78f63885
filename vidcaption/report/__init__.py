"""Pages and pictures that show a model's captions, and where it looked."""
