"""Pasted output of ss, netstat, sysctl, dmesg and others as a snapshot: one small parser for each tool."""
