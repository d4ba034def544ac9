"""Connections of your own program, past the wall: ports shared by destination, sources chosen by room, typed errors."""
