"""The data sources that xaiprune has: one file each, registered by name (`xaiprune.registry.SOURCES`)."""
