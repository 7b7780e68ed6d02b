"""Where tools work. Imports core only."""
