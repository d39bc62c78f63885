"""Segments to files: merging, subtitle layout, formats, names and atomic writing."""
