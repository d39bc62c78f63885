"""Captioned images and videos as people keep them."""
