"""The experiments of the paper as commands: python -m experiments --help."""
