"""Recipes that come with dashseg, one YAML file each."""
