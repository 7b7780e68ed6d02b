"""What the model can do. Imports core only."""
