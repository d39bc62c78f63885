"""Scores of captions against human ones."""
