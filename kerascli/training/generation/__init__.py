"""Generate text with a trained model: token by token, from a language model or a decoder."""
