"""The host as the rules of `doctor` see it: as it is now, as it was before, and whom its parts belong to."""

from collections.abc import Mapping
from dataclasses import replace

from fourtuple.core.doctor.records import OWN, Rank, Subject
from fourtuple.core.numbers import signed_number_of
from fourtuple.core.record import dataclass
from fourtuple.core.snapshot.records import Cgroup, HostNamespace, Snapshot
from fourtuple.core.units import format_count, format_duration

NEAR_SHARE = 0.9  # of a limit: less is not said, since nothing fails yet and much may stay so


@dataclass(frozen=True, slots=True)
class Patient:
    """now: the snapshot to judge. before: an earlier one of the same host; None: there is none"""

    now: Snapshot
    before: Snapshot | None = None

    @property
    def for_s(self) -> float | None:
        """The time between the two snapshots; None: there is one."""
        return None if self.before is None else max(0.001, self.now.at_s - self.before.at_s)

    def number(self, name: str, namespace: HostNamespace | None = None) -> int | None:
        """A sysctl that is one number; None: it is missing or is not one. namespace: None: one of the whole host"""
        return signed_number_of((namespace or self.now).sysctls.get(name, "").strip())

    def earlier(self, namespace: HostNamespace) -> HostNamespace | None:
        """The same namespace before; None: it was not there, or there is no earlier snapshot."""
        return self.before.namespaces.get(namespace.netns) if self.before else None

    def moved(self, name: str, namespace: HostNamespace | None = None) -> tuple[Rank, int] | None:
        """A counter of failures → how it ranks, and by how much it increased, or its value so far; None: no failures.

        namespace: None: a counter of the whole host
        """
        counters = (namespace or self.now).counters
        if self.before is None:
            return (Rank.SO_FAR, counters[name]) if counters.get(name) else None
        was = self.before if namespace is None else self.earlier(namespace)
        if name not in counters or was is None or name not in was.counters:
            return None
        increase = counters[name] - was.counters[name]
        return (Rank.FAILS, increase) if increase > 0 else None

    def times(self, rank: Rank, count: int) -> str:
        """How a count of failures reads: `12 in 10 s`, `12 so far`."""
        when = f"in {format_duration(self.for_s)}" if rank is Rank.FAILS and self.for_s else "so far"
        return f"{format_count(count)} {when}"

    def of_cgroup(self, path: str) -> Subject:
        found = self.now.cgroups.get(path, Cgroup(path))
        return Subject(pod=found.pod, container=found.name or found.container, service=found.service)

    def of_process(self, pid: int) -> Subject:
        """The process, and what it belongs to; of one that was not seen, its PID alone."""
        process = self.now.processes.get(pid)
        if process is None:
            return Subject(pid=pid, process="a process")
        place = self.now.namespaces.get(process.netns)
        whose = self.of_cgroup(process.cgroup)
        return replace(whose, netns=process.netns, name=place.name if place else "", pid=pid, process=process.name)

    def of_namespace(self, namespace: HostNamespace, pid: int | None = None) -> Subject:
        """The namespace, and a process in it: by default the one that runs longest. pid: 0 and less: none is known"""
        if pid is not None and pid > 0:
            return replace(self.of_process(pid), netns=namespace.netns, name=namespace.name)
        whose = replace(self.of_cgroup(namespace.cgroup), netns=namespace.netns, name=namespace.name)
        inside = self.now.processes.get(namespace.pid) if namespace.pid is not None else None
        if whose.pod or whose.container or whose.name:
            return whose
        if self.now.netns and namespace.netns == self.now.netns:
            return replace(whose, service="", name=OWN)
        if inside is None:
            return replace(whose, service="")
        return replace(whose, service="", name=f"of {inside.name} ({inside.pid})")

    def named(self, counts: Mapping[int, int], most: int = 3) -> str:
        """Processes with counts, the most first: `nginx (812): 300, php (9): 2`; empty: none is known."""
        known = sorted(((count, pid) for pid, count in counts.items() if pid > 0), key=lambda each: (-each[0], each[1]))
        names = []
        for count, pid in known[:most]:
            process = self.now.processes.get(pid)
            names.append(f"{process.name if process else 'process'} ({pid}): {format_count(count)}")
        return ", ".join(names) + (" …" if len(known) > most else "")

    def most_have(self, counts: Mapping[int, int]) -> tuple[str, ...]:
        """The evidence of who has the most: one sentence, or none where no process is known."""
        names = self.named({pid: count for pid, count in counts.items() if count})
        return (f"the most have {names}",) if names else ()


def rank_of(used: int, most: int) -> Rank | None:
    """How the use of a limit ranks; None: less than NEAR_SHARE of it is used."""
    if used >= most:
        return Rank.FAILS
    return Rank.NEAR if used >= NEAR_SHARE * most else None


def so(rank: Rank, what: str) -> str:
    """What follows from a limit, to stand after the sentence about its use. what: with `{now}` before its verb"""
    return f", so {what.format(now='now ')}" if rank is Rank.FAILS else f"; when none is left, {what.format(now='')}"


def of_most(used: int, most: int) -> str:
    """`58 of 60`"""
    return f"{format_count(used)} of {format_count(most)}"
