"""The papers' claims on real networks: studies, figures on the test split, tables and pictures."""
