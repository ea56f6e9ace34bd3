"""The proof on all thousand classes: searched recipes, `auto`, baselines and published methods on `wide`."""
