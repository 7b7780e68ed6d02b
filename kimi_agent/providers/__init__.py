"""Models behind APIs. Imports core only."""
