"""How many connections become WebSockets at once, at both ends.

Requests and answers of a program are mostly the same bytes, apart from Sec-WebSocket-Key and Sec-WebSocket-Accept.
What h11 has read once, and a session would accept, is a form; a row with the same form and a right value of its own is
accepted, too. Every other row is left to the session of its connection.
"""

import re
from collections.abc import Callable
from dataclasses import field

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.record import dataclass
from fourtuple.engine.protocols.websocket_upgrade import (
    ACCEPT_BYTES,
    KEY_BYTES,
    UpgradeOffer,
    UpgradeRequest,
    accept_of,
    accepts_of,
)

_FORMS = 4  # how many forms are known at a time; a Date makes a new one each second
_KEY = re.compile(rb"\r\nSec-WebSocket-Key:[ \t]*([A-Za-z0-9+/]{22}==)[ \t]*\r\n", re.IGNORECASE)
_BASE64 = np.isin(np.arange(256), [*b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"])


@dataclass(frozen=True, slots=True)
class UpgradeForm:
    """How the upgrades of many connections look: the same bytes, apart from one value in them.

    row, at:           the bytes of a request or an answer, and where its value begins
    answer, answer_at: the bytes that a server answers with, and where its value begins
    """

    row: NDArray[np.uint8]
    at: int
    answer: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    answer_at: int = 0


class UpgradeAnswers:
    """Judges the answers of many connections at once, where they have the form of one that h11 has read."""

    def __init__(self, request: UpgradeRequest) -> None:
        self._request = request
        self._forms: list[UpgradeForm] = []

    def established(
        self, connections: NDArray[np.integer], data: NDArray[np.uint8], sizes: NDArray[np.int32]
    ) -> NDArray[np.bool_]:
        """Which of these connections are WebSockets now: those that were sent the whole answer, and nothing else.

        data: (connections, bytes) uint8, of which the first sizes[i] count
        → (connections,) bool; what it does not accept is for a session (`WebSocketClient.asked`) to judge
        """
        accepts = self._request.accepts(connections)

        def learnt(row: int) -> UpgradeForm | None:
            answer, accept = data[row, : sizes[row]].tobytes(), accepts[row].tobytes()
            ended = self._request.reader(int(connections[row])).received(answer) if answer else None
            if ended is None or ended.refused or ended.rest or answer.count(accept) != 1:
                return None
            return UpgradeForm(np.frombuffer(answer, np.uint8), answer.index(accept))

        def matching(form: UpgradeForm) -> NDArray[np.bool_]:
            value = data[:, form.at : form.at + ACCEPT_BYTES]
            right = _has_form(form, data, sizes, ACCEPT_BYTES)
            return right & (value == accepts).all(axis=1) if right.any() else right

        accepted = np.zeros(len(sizes), bool)
        for _, rows in _sorted(self._forms, len(sizes), matching, learnt):
            accepted |= rows
        return accepted


class UpgradeOffers:
    """Accepts the requests of many clients at once, where they have the form of one that h11 has read."""

    def __init__(self) -> None:
        self._forms: list[UpgradeForm] = []

    def accepted(
        self, data: NDArray[np.uint8], sizes: NDArray[np.int32]
    ) -> tuple[NDArray[np.bool_], NDArray[np.uint8], NDArray[np.int32]]:
        """Which rows are a whole request for a WebSocket, and nothing else; the rest is for a session to answer.

        → (rows,) bool, the answers as (rows, bytes) uint8, and how many bytes of each count
        """

        def learnt(row: int) -> UpgradeForm | None:
            request = data[row, : sizes[row]].tobytes()
            ended = UpgradeOffer().received(request) if request else None
            key = _KEY.search(request)
            if ended is None or ended.refused or ended.rest or key is None:
                return None
            answer = np.frombuffer(ended.send, np.uint8)
            return UpgradeForm(
                np.frombuffer(request, np.uint8), key.start(1), answer, ended.send.index(accept_of(key[1]))
            )

        def matching(form: UpgradeForm) -> NDArray[np.bool_]:
            right = _has_form(form, data, sizes, KEY_BYTES)
            return right & _are_keys(data[:, form.at : form.at + KEY_BYTES]) if right.any() else right

        found = _sorted(self._forms, len(sizes), matching, learnt)
        accepted, lengths = np.zeros(len(sizes), bool), np.zeros(len(sizes), np.int32)
        made = np.zeros((len(sizes), max((len(form.answer) for form, _ in found), default=0)), np.uint8)
        for form, rows in found:
            made[rows, : len(form.answer)] = form.answer
            made[rows, form.answer_at : form.answer_at + ACCEPT_BYTES] = accepts_of(
                data[rows, form.at : form.at + KEY_BYTES]
            )
            lengths[rows] = len(form.answer)
            accepted |= rows
        return accepted, made, lengths


def _sorted(
    known: list[UpgradeForm],
    rows: int,
    matching: Callable[[UpgradeForm], NDArray[np.bool_]],
    learnt: Callable[[int], UpgradeForm | None],
) -> list[tuple[UpgradeForm, NDArray[np.bool_]]]:
    """Which rows have which form; a row has at most one.

    Forms that are not known yet are learnt from a few rows that have none, and are added to `known`.
    """
    found: list[tuple[UpgradeForm, NDArray[np.bool_]]] = []
    without = np.ones(rows, bool)

    def sort(form: UpgradeForm) -> None:
        mask = matching(form) & without
        found.append((form, mask))
        without[mask] = False

    for form in known:
        sort(form)
    untried = without.copy()
    for _ in range(_FORMS):
        if not untried.any():
            break
        row = int(np.argmax(untried))
        untried[row] = False
        if (new := learnt(row)) is not None:
            known.insert(0, new)
            sort(new)
            untried &= without
    del known[_FORMS:]
    return found


def _has_form(
    form: UpgradeForm, data: NDArray[np.uint8], sizes: NDArray[np.int32], value_bytes: int
) -> NDArray[np.bool_]:
    """Which rows have the form, whatever their own value is."""
    size = len(form.row)
    if data.shape[1] < size:
        return np.zeros(len(sizes), bool)
    end = form.at + value_bytes
    same = (data[:, : form.at] == form.row[: form.at]).all(axis=1) & (sizes == size)
    both: NDArray[np.bool_] = same & (data[:, end:size] == form.row[end:]).all(axis=1)
    return both


def _are_keys(data: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which rows of (rows, 24) are 16 bytes in base64."""
    digits = _BASE64[data[:, : KEY_BYTES - 2]].all(axis=1)
    right: NDArray[np.bool_] = digits & (data[:, KEY_BYTES - 2 :] == ord("=")).all(axis=1)
    return right
