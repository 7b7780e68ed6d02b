"""Vim's keys for the prompt: a text with a cursor, its motions and text objects, and the commands over them."""
