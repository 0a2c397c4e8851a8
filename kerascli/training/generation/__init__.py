"""Generation of text, token by token, with a trained language model or a decoder."""
