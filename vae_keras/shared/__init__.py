"""Checks of networks and data, and compiled functions."""
