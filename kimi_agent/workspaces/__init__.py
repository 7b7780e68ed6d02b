"""Where tools work. Imports core, and processes to end them."""
