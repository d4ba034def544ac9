"""How many connections are to be open at which time: ramps, one after the other, from zero."""

import re

from fourtuple.core.errors import UsageError
from fourtuple.core.record import dataclass
from fourtuple.core.units import MOST_S, format_count, format_duration, parse_count, parse_duration, quoted

_EXAMPLE = "Write --stages '10k@10s, 100k@60s, 100k@5m, 0@20s'."


_STAGE = re.compile(r"([^@]*)@([^,@]*)(?:,|$)")  # a number may have commas, as in 100,000@60s


@dataclass(frozen=True, slots=True)
class Ramp:
    """A stage: the number of open connections changes evenly to `target` within `within_ns`; 0: at once."""

    target: int
    within_ns: int


@dataclass(frozen=True, slots=True)
class Stages:
    """Ramps, each from the target of the one before, the first from zero; at least one."""

    ramps: tuple[Ramp, ...]

    @property
    def most(self) -> int:
        """The most connections that are to be open at the same time."""
        return max(ramp.target for ramp in self.ramps)

    @property
    def total_ns(self) -> int:
        return sum(ramp.within_ns for ramp in self.ramps)

    def target(self, elapsed_ns: int) -> int:
        """How many connections are to be open at that time; after the last ramp, as many as its target."""
        before, rest_ns = 0, max(0, elapsed_ns)
        for ramp in self.ramps:
            if rest_ns < ramp.within_ns:
                step = 1 if ramp.target > before else -1
                return before + step * (abs(ramp.target - before) * rest_ns // ramp.within_ns)
            before, rest_ns = ramp.target, rest_ns - ramp.within_ns
        return before

    def changes_ns(self, elapsed_ns: int) -> int | None:
        """When the target changes for the next time, after `elapsed_ns`; None: it stays as it is."""
        begin_ns, before = 0, 0
        for ramp in self.ramps:
            end_ns, steps = begin_ns + ramp.within_ns, abs(ramp.target - before)
            if elapsed_ns < end_ns and steps:
                done = steps * max(0, elapsed_ns - begin_ns) // ramp.within_ns if ramp.within_ns else 0
                return begin_ns + -(-(done + 1) * ramp.within_ns // steps) if ramp.within_ns else end_ns
            begin_ns, before = end_ns, ramp.target
        return None

    def __str__(self) -> str:
        """In words: `10,000 after 10 s, 0 after 20 s`."""
        each = (f"{format_count(ramp.target)} after {format_duration(ramp.within_ns / 1e9)}" for ramp in self.ramps)
        return ", ".join(each)


def parse_stages(text: str) -> Stages:
    """`10k@10s, 100k@60s, 0@20s` → a target and the time to get there, each. Raises UsageError."""
    ramps: list[Ramp] = []
    end = 0
    while end < len(text) or not ramps:
        stage = _STAGE.match(text, end)
        if stage is None:
            raise UsageError(f"--stages {quoted(text)}", f"{quoted(text[end:].strip())} is not N@TIME", _EXAMPLE)
        ramps.append(_ramp(stage[1].strip(), stage[2].strip(), text))
        end = stage.end()
    stages = Stages(tuple(ramps))
    if not stages.most:
        raise UsageError(f"--stages {quoted(text)}", "no stage has a connection", _EXAMPLE)
    if not stages.total_ns:
        raise UsageError(f"--stages {quoted(text)}", "they take no time", _EXAMPLE)
    if stages.total_ns > MOST_S * 10**9:
        raise UsageError(f"--stages {quoted(text)}", f"they take longer than {MOST_S}s (31 years)", _EXAMPLE)
    return stages


def _ramp(target: str, within: str, whole: str) -> Ramp:
    try:
        return Ramp(parse_count(target), round(parse_duration(within) * 10**9))
    except UsageError as error:
        raise UsageError(f"--stages {quoted(whole)}", str(error), _EXAMPLE) from None
