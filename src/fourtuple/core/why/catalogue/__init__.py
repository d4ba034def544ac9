"""Limits that are not the kernel's: one file of rows for each program, library or cloud, as data."""
