"""INT4 on the CPU: a small C kernel, compiled on the machine that it runs on, and torch's own operation."""
