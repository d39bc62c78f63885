"""Datasets of captioned images and videos, in common formats."""
