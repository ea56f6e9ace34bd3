"""How relevance passes PyTorch's functions: one handler for each, found by name (`register_operation`)."""
