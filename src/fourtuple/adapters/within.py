"""asyncio.timeout(), for Python 3.10 too, where it raises asyncio.TimeoutError, which is no TimeoutError there."""

import sys

if sys.version_info >= (3, 11):
    from asyncio import timeout as within
else:
    from async_timeout import timeout as within

__all__ = ["within"]
