"""The engine: requests are scheduled onto a runner step by step, over a paged cache of latents."""
