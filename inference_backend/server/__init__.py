"""The OpenAI-compatible server: a guarded HTTP layer (`message`, `guard`, `connection`, `listener`) and what it serves."""
