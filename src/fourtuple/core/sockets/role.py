"""The role of this end of a connection: the client connects, the server accepts."""

from fourtuple.core.backports import StrEnum


class Role(StrEnum):
    """The role of one end of a connection."""

    CLIENT = "client"
    SERVER = "server"
