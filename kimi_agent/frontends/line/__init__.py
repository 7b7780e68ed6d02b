"""Line mode: native scrollback, on prompt-toolkit and rich, or on plain lines where those would be noise."""
