"""Checkpoints on disk: safetensors files read without trust and without copies, and written whole or not at all."""
