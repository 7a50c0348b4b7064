"""Executes the notebooks and renders the book."""
