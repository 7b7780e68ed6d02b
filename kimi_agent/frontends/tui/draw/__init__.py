"""Blocks of a transcript become lines of styled segments. No widget, no application: text in, lines out."""
