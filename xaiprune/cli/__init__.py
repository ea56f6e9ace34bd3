"""The command line: ``xaiprune <task> [overrides]``, one thin file a task."""
