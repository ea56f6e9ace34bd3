"""The LRP engine: one recorded forward, and a modified backward for each composite."""
