"""Configuration: the YAML file as types, its errors with line numbers, its secrets."""
