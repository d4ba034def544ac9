"""Which end of a connection is here: the client, which connects, or the server, which accepts."""

from enum import StrEnum


class Role(StrEnum):
    CLIENT = "client"
    SERVER = "server"
