"""``tokenizer-soma``: bytes cut into tokens, nine ways, each with an identity."""
