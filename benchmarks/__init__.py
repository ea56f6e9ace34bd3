"""Benchmarks: each is a module that prints its numbers; `python -m benchmarks.<name>`."""
