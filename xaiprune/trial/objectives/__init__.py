"""One objective a file; `xaiprune.registry.OBJECTIVES` knows them by name."""
