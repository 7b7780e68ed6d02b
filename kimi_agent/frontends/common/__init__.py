"""What interactive front ends share: file names, prompt history, pastes, the person's own shell, words for tool calls."""
