"""What lies between a chat and tokens: tokenizer, templates, the parser of the stream and the grammar of tool calls."""
