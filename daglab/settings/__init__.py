"""The config: its keys and files, who may say what, and the secrets that it names."""
