"""Connections of your own program: source ports shared by destination, sources chosen by free ports, typed errors."""
