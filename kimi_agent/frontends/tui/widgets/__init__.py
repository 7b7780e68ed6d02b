"""The widgets of the shell. They know no application: data goes in by methods, messages come out."""
