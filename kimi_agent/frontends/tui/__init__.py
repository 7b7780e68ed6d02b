"""The full-screen shell on Textual."""
